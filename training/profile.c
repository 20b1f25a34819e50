// SPDX-License-Identifier: LGPL-3.0-or-later
// ICC profiles of photographs through Little CMS.
#include "profile.h"

#include <math.h>
#include <stdint.h>

#include <lcms2.h>

#include <cz/color.h>

struct TrainProfile {
    TrainPixels pixels;
    cmsHTRANSFORM to_lab, from_lab; // from_lab: NULL if it cannot be written
};

// Without optimisation: what Little CMS makes faster, it makes coarser. Without cache: photographs
// seldom repeat a pixel.
#define FLAGS (cmsFLAGS_NOOPTIMIZE | cmsFLAGS_NOCACHE)

static cmsColorSpaceSignature space_of(int n_colour)
{
    return n_colour == 1 ? cmsSigGrayData : n_colour == 3 ? cmsSigRgbData : cmsSigCmykData;
}

static cmsUInt32Number format_of(const TrainPixels *pixels, int n_extra)
{
    cmsUInt32Number depth = pixels->wide ? 2 : 1, n = (cmsUInt32Number)pixels->n_colour;
    cmsUInt32Number type = n == 1 ? PT_GRAY : n == 3 ? PT_RGB : PT_CMYK;
    return COLORSPACE_SH(type) | CHANNELS_SH(n) | EXTRA_SH((cmsUInt32Number)n_extra) |
           BYTES_SH(depth);
}

static void make_transforms(TrainProfile *profile, cmsHPROFILE own, cmsHPROFILE lab)
{
    const TrainPixels *pixels = &profile->pixels;
    profile->to_lab = cmsCreateTransform(own, format_of(pixels, pixels->n_bands - pixels->n_colour),
                                         lab, TYPE_Lab_FLT, INTENT_RELATIVE_COLORIMETRIC, FLAGS);
    if (profile->to_lab && pixels->n_colour == 3)
        profile->from_lab = cmsCreateTransform(lab, TYPE_Lab_FLT, own, format_of(pixels, 0),
                                               INTENT_RELATIVE_COLORIMETRIC, FLAGS);
}

TrainProfile *train_profile_new(const void *bytes, size_t n_bytes, const TrainPixels *pixels)
{
    if (n_bytes > G_MAXUINT32 || pixels->n_bands - pixels->n_colour > 7) // lcms holds 3 bits
        return NULL;
    cmsHPROFILE own = cmsOpenProfileFromMem(bytes, (cmsUInt32Number)n_bytes),
                lab = own ? cmsCreateLab4Profile(NULL) : NULL;
    TrainProfile *profile = g_new0(TrainProfile, 1);
    profile->pixels = *pixels;
    if (lab && cmsGetColorSpace(own) == space_of(pixels->n_colour))
        make_transforms(profile, own, lab);
    if (lab)
        cmsCloseProfile(lab);
    if (own)
        cmsCloseProfile(own);
    if (!profile->to_lab)
        g_clear_pointer(&profile, train_profile_free);
    return profile;
}

void train_profile_free(TrainProfile *profile)
{
    if (!profile)
        return;
    if (profile->to_lab)
        cmsDeleteTransform(profile->to_lab);
    if (profile->from_lab)
        cmsDeleteTransform(profile->from_lab);
    g_free(profile);
}

void train_profile_to_lab(const TrainProfile *profile, const void *pixels, float *lab, size_t n)
{
    cmsDoTransform(profile->to_lab, pixels, lab, (cmsUInt32Number)n);
}

bool train_profile_can_write(const TrainProfile *profile)
{
    return profile->from_lab != NULL;
}

void train_profile_from_lab(const TrainProfile *profile, const float *lab, void *pixels, size_t n)
{
    cmsDoTransform(profile->from_lab, lab, pixels, (cmsUInt32Number)n);
}

// Nine steps a channel: enough to see another curve or another primary.
bool train_profile_is_srgb(const TrainProfile *profile)
{
    enum { STEPS = 9, N = STEPS * STEPS * STEPS, MAX_BANDS = 10 };
    static const int divisor[3] = {1, STEPS, STEPS * STEPS};
    int n_bands = profile->pixels.n_bands;
    uint16_t wide[N * MAX_BANDS] = {0};
    uint8_t narrow[N * MAX_BANDS] = {0};
    float srgb[3 * N], lab[3 * N];
    if (profile->pixels.n_colour != 3)
        return false;
    for (int i = 0; i < 3 * N; i++) {
        int value = i / 3 / divisor[i % 3] % STEPS * 255 / (STEPS - 1);
        int at = i / 3 * n_bands + i % 3;
        narrow[at] = (uint8_t)value;
        wide[at] = (uint16_t)(value * 257);
        srgb[i] = (float)value / 255;
    }
    train_profile_to_lab(profile, profile->pixels.wide ? (void *)wide : (void *)narrow, lab, N);
    cz_rgb_to_lab(srgb, srgb, N);
    for (int i = 0; i < 3 * N; i++)
        if (!(fabsf(lab[i] - srgb[i]) < 0.12f))
            return false;
    return true;
}
