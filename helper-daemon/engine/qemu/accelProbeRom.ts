/** accelProbe.S assembled; test/unit/engine/accelProbe.test.ts compares the two. */

/** What the ROM's code leaves with: isa-debug-exit turns 0x2b into 2 * 0x2b + 1. */
export const probePassed = 0x57;

const size = 0x10000;
const resetVector = 0xfff0;
/** ljmpw $0xf000, $0 */
const jump = Buffer.from('ea000000f0', 'hex');
const code = Buffer.from(
  '+jHAjtiOwI7QZscGABADIAAAZscGBBAAAAAAZscGACADMAAAZscGBCAAAAAAZscGADCDAAAAZscGBDAAAAAALmYP' +
    'ARYAAQ8gwGaDyAEPIsBm6lgADwAIAGa4EACO2I7QjsAPIOCDyCAPIuC4ABAAAA8i2LmAAADADzINAAEAAA8wDyDA' +
    'DQAAAIAPIsDqkwAPABgAvAAACAC56AMAAA8g2A8i2IkMJQCQAAD/yXXvMcAx0jHbMcm/AKAAAPBID8cPSInhahBR' +
    'nGoYaNAADwBIz2a6AQWwK+70AAAAAAAAAAAAAAAAAAAAAP//AAAAm88A//8AAACTzwD//wAAAJuvAB8A4AAP',
  'base64',
);

export function probeRom(): Buffer {
  const rom = Buffer.alloc(size);
  code.copy(rom);
  jump.copy(rom, resetVector);
  return rom;
}
