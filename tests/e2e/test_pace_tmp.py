import time, asyncio
from tests.e2e.test_step_test import *
from tests.e2e.conftest import installation
from tests.conftest import mosquitto
async def test_pace(installation):
    place=installation
    await place.publish(f"solar/{ROOF}/cmd/limit_nonpersistent_absolute", "1500")
    await asyncio.sleep(4)
    p = await start(place); t0=time.monotonic()
    async for line in p.stdout: print(f'{time.monotonic()-t0:6.1f}', line.decode().rstrip())
    print(place.commands())
