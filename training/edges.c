// SPDX-License-Identifier: LGPL-3.0-or-later
// Gradients of lightness and color against each other.
#include "edges.h"

#include <math.h>
#include <stdbool.h>

#include <glib.h>

#define STEEPEST 10 // one pixel in so many

typedef struct {
    float x, y;
} Slope;

// Of channel c at an inner pixel; pixel points at its L*.
static Slope slope(const float *pixel, int32_t width, int c)
{
    size_t row = 3 * (size_t)width;
    return (Slope){(pixel[3 + c] - *(pixel - 3 + c)) / 2,
                   (pixel[row + (size_t)c] - *(pixel - row + c)) / 2};
}

static float steepness(const float *pixel, int32_t width)
{
    Slope l = slope(pixel, width, 0);
    return sqrtf(l.x * l.x + l.y * l.y);
}

static const float *at(const float *lab, int32_t width, int32_t x, int32_t y)
{
    return lab + 3 * ((size_t)y * (size_t)width + (size_t)x);
}

// The value that stands at place k of the sorted values (Hoare's selection); values are reordered.
static float select_value(float *values, size_t n, size_t k)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        float pivot = values[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i >= j)
                break;
            float swap = values[i];
            values[i++] = values[j];
            values[j--] = swap;
        }
        if (k <= j)
            high = j;
        else
            low = j + 1;
    }
    return values[low];
}

static float steepest_tenth(const float *lab, int32_t width, int32_t height, float *scratch)
{
    size_t n = 0;
    for (int32_t y = 1; y < height - 1; y++)
        for (int32_t x = 1; x < width - 1; x++)
            scratch[n++] = steepness(at(lab, width, x, y), width);
    return n > 0 ? select_value(scratch, n, n - 1 - (n - 1) / STEEPEST) : 0;
}

double train_edge_error(const float *true_lab, const float *lab, int32_t width, int32_t height,
                        float *scratch)
{
    float least = steepest_tenth(true_lab, width, height, scratch);
    double sum = 0;
    size_t n = 0;
    for (int32_t y = 1; y < height - 1; y++)
        for (int32_t x = 1; x < width - 1; x++) {
            const float *truth = at(true_lab, width, x, y), *pixel = at(lab, width, x, y);
            float steep = steepness(truth, width);
            if (steep < least || steep <= 0)
                continue;
            Slope a = slope(truth, width, 1), b = slope(truth, width, 2);
            Slope a2 = slope(pixel, width, 1), b2 = slope(pixel, width, 2);
            sum += hypot(hypot(a2.x - a.x, a2.y - a.y), hypot(b2.x - b.x, b2.y - b.y));
            n++;
        }
    return n > 0 ? sum / (double)n : 0;
}

static bool is_on_chroma_edge(const float *pixel, int32_t width)
{
    Slope a = slope(pixel, width, 1), b = slope(pixel, width, 2);
    return a.x * a.x + a.y * a.y + b.x * b.x + b.y * b.y >= TRAIN_CHROMA_EDGE * TRAIN_CHROMA_EDGE;
}

static bool has_lightness_edge(const float *steep, int32_t width, int32_t height, int32_t x,
                               int32_t y)
{
    for (int32_t v = MAX(y - TRAIN_EDGE_REACH, 1); v <= MIN(y + TRAIN_EDGE_REACH, height - 2); v++)
        for (int32_t u = MAX(x - TRAIN_EDGE_REACH, 1); u <= MIN(x + TRAIN_EDGE_REACH, width - 2);
             u++)
            if (steep[(size_t)v * (size_t)width + (size_t)u] >= TRAIN_LIGHTNESS_EDGE)
                return true;
    return false;
}

TrainEdges train_edges(const float *lab, int32_t width, int32_t height, float *scratch)
{
    TrainEdges edges = {0, 0};
    for (int32_t y = 1; y < height - 1; y++)
        for (int32_t x = 1; x < width - 1; x++)
            scratch[(size_t)y * (size_t)width + (size_t)x] = steepness(at(lab, width, x, y), width);
    for (int32_t y = 1; y < height - 1; y++)
        for (int32_t x = 1; x < width - 1; x++) {
            if (!is_on_chroma_edge(at(lab, width, x, y), width))
                continue;
            edges.n_chroma++;
            edges.n_stray += !has_lightness_edge(scratch, width, height, x, y);
        }
    return edges;
}
