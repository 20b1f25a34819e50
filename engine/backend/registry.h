// SPDX-License-Identifier: LGPL-3.0-or-later
// An open device as stores and plans see it.
#pragma once

#include <cz/plan.h>

struct CzEngineDevice {
    const CzBackend *backend;
    CzDevice *device;
    CzDeviceInfo info;
    const CzRanks *ranks;
};
