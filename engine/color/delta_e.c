// SPDX-License-Identifier: LGPL-3.0-or-later
// CIEDE2000 (CIE 142-2001), after Sharma, Wu & Dalal, "The CIEDE2000 color-difference formula:
// implementation notes", Color Research & Application 30 (2005); equation numbers are theirs.
#include <cz/color.h>

#include <math.h>

#define DEGREE   (M_PI / 180)
#define POW_25_7 6103515625.0

// Equations 2 to 7: a' and b to chroma and hue in degrees; grey has hue 0.
static void polar(double a, double b, double *chroma, double *hue)
{
    *chroma = hypot(a, b);
    *hue = a == 0 && b == 0 ? 0 : atan2(b, a) / DEGREE;
    if (*hue < 0)
        *hue += 360;
}

// Equation 10.
static double hue_difference(double h1, double h2, double chroma_product)
{
    double d = h2 - h1;
    if (chroma_product == 0)
        return 0;
    if (d > 180)
        return d - 360;
    return d < -180 ? d + 360 : d;
}

// Equation 14.
static double hue_mean(double h1, double h2, double chroma_product)
{
    double sum = h1 + h2;
    if (chroma_product == 0)
        return sum;
    if (fabs(h1 - h2) <= 180)
        return sum / 2;
    return sum < 360 ? (sum + 360) / 2 : (sum - 360) / 2;
}

float cz_delta_e_2000(const float lab1[3], const float lab2[3])
{
    double mean_chroma = (hypot(lab1[1], lab1[2]) + hypot(lab2[1], lab2[2])) / 2;
    double c7 = pow(mean_chroma, 7);
    double g = 1 + 0.5 * (1 - sqrt(c7 / (c7 + POW_25_7)));
    double c1, h1, c2, h2;
    polar(g * lab1[1], lab1[2], &c1, &h1);
    polar(g * lab2[1], lab2[2], &c2, &h2);

    double d_l = (double)lab2[0] - lab1[0], d_c = c2 - c1;
    double d_h = 2 * sqrt(c1 * c2) * sin(hue_difference(h1, h2, c1 * c2) / 2 * DEGREE);

    double l = ((double)lab1[0] + lab2[0]) / 2, c = (c1 + c2) / 2, h = hue_mean(h1, h2, c1 * c2);
    double t = 1 - 0.17 * cos((h - 30) * DEGREE) + 0.24 * cos(2 * h * DEGREE) +
               0.32 * cos((3 * h + 6) * DEGREE) - 0.20 * cos((4 * h - 63) * DEGREE);
    double theta = 30 * exp(-pow((h - 275) / 25, 2));
    double l50 = (l - 50) * (l - 50);
    double s_l = 1 + 0.015 * l50 / sqrt(20 + l50);
    double s_c = 1 + 0.045 * c, s_h = 1 + 0.015 * c * t;
    double rotation = -2 * sqrt(pow(c, 7) / (pow(c, 7) + POW_25_7)) * sin(2 * theta * DEGREE);
    d_l /= s_l, d_c /= s_c, d_h /= s_h;
    return (float)sqrt(fmax(0, d_l * d_l + d_c * d_c + d_h * d_h + rotation * d_c * d_h));
}
