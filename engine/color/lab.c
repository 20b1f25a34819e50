// SPDX-License-Identifier: LGPL-3.0-or-later
// Encoded sRGB to CIE L*a*b* (D50) and back.
#include <cz/color.h>

#include "base/clones.h"
#include "color/pixels.h"

CZ_CLONES static void block_to_lab(float *dst, const float *src)
{
    Planes rgb, lab;
    pixels_split(&rgb, src);
    for (int i = 0; i < PIXELS; i++) {
        Triple xyz = linear_to_xyz(curve_to_linear(rgb.p[0][i]), curve_to_linear(rgb.p[1][i]),
                                   curve_to_linear(rgb.p[2][i]));
        float fx = curve_lab_f(xyz.x), fy = curve_lab_f(xyz.y), fz = curve_lab_f(xyz.z);
        lab.p[0][i] = 116 * fy - 16;
        lab.p[1][i] = 500 * (fx - fy);
        lab.p[2][i] = 200 * (fy - fz);
    }
    pixels_merge(dst, &lab);
}

CZ_CLONES static void block_to_lightness(float *restrict dst, const float *restrict src)
{
    Planes rgb;
    pixels_split(&rgb, src);
    for (int i = 0; i < PIXELS; i++) {
        float red = curve_to_linear(rgb.p[0][i]), green = curve_to_linear(rgb.p[1][i]);
        float blue = curve_to_linear(rgb.p[2][i]);
        float y = green + (XYZ_Y_RED * (red - green) + XYZ_Y_BLUE * (blue - green));
        rgb.p[0][i] = 116 * curve_lab_f(y) - 16;
    }
    memcpy(dst, rgb.p[0], sizeof rgb.p[0]);
}

CZ_CLONES static void block_to_rgb(float *dst, const float *src)
{
    Planes lab, rgb;
    pixels_split(&lab, src);
    for (int i = 0; i < PIXELS; i++) {
        Triple linear = lab_to_linear(lab.p[0][i], lab.p[1][i], lab.p[2][i]);
        rgb.p[0][i] = curve_to_encoded(linear.x);
        rgb.p[1][i] = curve_to_encoded(linear.y);
        rgb.p[2][i] = curve_to_encoded(linear.z);
    }
    pixels_merge(dst, &rgb);
}

void cz_rgb_to_lab(float *lab, const float *rgb, size_t n_pixels)
{
    pixels_each(lab, 3, rgb, n_pixels, block_to_lab);
}

void cz_rgb_to_lightness(float *lightness, const float *rgb, size_t n_pixels)
{
    pixels_each(lightness, 1, rgb, n_pixels, block_to_lightness);
}

void cz_lab_to_rgb(float *rgb, const float *lab, size_t n_pixels)
{
    pixels_each(rgb, 3, lab, n_pixels, block_to_rgb);
}

// sRGB's D65 matrix divided by its white (IEC 61966-2-1 rounds it to four digits; these are from
// its chromaticities), inverted around Y as in pixels.h.
static Triple xyz_d65_to_linear(float x, float y, float z)
{
    float u = x - y, w = z - y;
    return (Triple){y + (3.0803991f * u - 0.5430159f * w), y + (-0.9212234f * u + 0.0452559f * w),
                    y + (0.0528739f * u + 1.1511030f * w)};
}

// L* is ours (D50), a* and b* are theirs: L* under D65 is found by repetition. L* of the two differ
// by a few units at most and by a smooth function of a* and b*, so each round gains a digit or two.
static void d65_to_d50(float lab[3])
{
    float lightness = lab[0], theirs = lab[0], red = 0, green = 0, blue = 0;
    for (int round = 0; round < 6; round++) {
        float fy = (theirs + 16) / 116, fx = fy + lab[1] / 500, fz = fy - lab[2] / 200;
        Triple linear = xyz_d65_to_linear(curve_lab_f_inverse(fx), curve_lab_f_inverse(fy),
                                          curve_lab_f_inverse(fz));
        red = linear.x, green = linear.y, blue = linear.z;
        theirs += lightness - (116 * curve_lab_f(linear_to_xyz(red, green, blue).y) - 16);
    }
    Triple xyz = linear_to_xyz(red, green, blue);
    float fx = curve_lab_f(xyz.x), fy = curve_lab_f(xyz.y), fz = curve_lab_f(xyz.z);
    lab[1] = 500 * (fx - fy);
    lab[2] = 200 * (fy - fz);
}

void cz_lab_d65_to_d50(float *lab, size_t n_pixels)
{
    for (size_t i = 0; i < n_pixels; i++)
        d65_to_d50(lab + 3 * i);
}
