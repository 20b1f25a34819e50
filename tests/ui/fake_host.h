// SPDX-License-Identifier: LGPL-3.0-or-later
// A host without GIMP: a photograph in memory.
#pragma once

#include <cz/colorizer.h>

#include <ui/host.h>

typedef struct {
    CzPhoto photo;
    float *rgb, *out;
    int n_reads;    // calls of read_rows
    int fail_after; // reads that succeed; 0: all
    GThread *owner; // reads on another thread are wrong
    bool strayed;   // there was one
} FakePhoto;

// From a picture file, or invented: a gradient with squares.
FakePhoto *fake_photo_open(const char *path, GError **error);
FakePhoto *fake_photo_new(int32_t width, int32_t height);
void fake_photo_free(FakePhoto *photo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakePhoto, fake_photo_free)
