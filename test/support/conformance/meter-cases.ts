/*
 * Meters, case by case: ids, bands and their parts, replacing, clearing, packets that pass through them.
 */
import { type Attr, attr, nest } from '../attribute-tree.ts';
import { ACTION, BAND_ATTR, FLOW, METER, METER_ATTR, VPORT_TYPE } from './openvswitch.ts';
import { dropBand, etherFrame, etherKey, meterAttributes, output } from './requests.ts';
import type { Scenario } from './scenario.ts';
import { ACK, ECHO, Script, u32 } from './script.ts';

const id = (value: number) => attr(METER_ATTR.ID, u32(value));

function get(script: Script, number: number): void {
  script.send('meter', METER.GET, [id(number)], { from: 'plain' });
}

function ids(): Scenario {
  const script = new Script('ids of meters');
  script.newDatapath('dp0');
  script.send('meter', METER.FEATURES, [], { from: 'plain' });
  for (const number of [0, 1, 2, 1022, 1023, 1024, 1025, 2047, 4096, 0xfffff, 0xffffff, 0x7fffffff, 0xffffffff]) {
    get(script, number);
    script.send('meter', METER.SET, meterAttributes(number), { flags: ECHO });
    get(script, number);
    script.send('meter', METER.DEL, [id(number)], { flags: ECHO });
    script.send('meter', METER.DEL, [id(number)], { flags: ACK });
    get(script, number);
  }
  for (let number = 0; number < 20; number++) script.send('meter', METER.SET, meterAttributes(number), { flags: ACK });
  for (let number = 0; number < 20; number += 3) script.send('meter', METER.DEL, [id(number)], { flags: ACK });
  for (let number = 0; number < 20; number++) get(script, number);
  script.send('meter', METER.FEATURES, []);
  return script.scenario;
}

/** Bands that lack something, have too much, or are too many. */
function bands(): Scenario {
  const script = new Script('bands of meters');
  script.newDatapath('dp0');
  const whole = {
    type: attr(BAND_ATTR.TYPE, u32(1)),
    rate: attr(BAND_ATTR.RATE, u32(10)),
    burst: attr(BAND_ATTR.BURST, u32(20)),
  };
  const lists: Attr[][] = [
    [],
    [dropBand(0, 0)],
    [dropBand(1, 0)],
    [dropBand(0, 1)],
    [dropBand(0xffffffff, 0xffffffff)],
    [dropBand(10, 20), dropBand(30, 40)],
    Array.from({ length: 5 }, (_, index) => dropBand(index + 1, 5)),
    [nest(1, [whole.type])],
    [nest(1, [whole.rate, whole.burst])],
    [nest(1, [whole.type, whole.rate])],
    [nest(1, [whole.type, whole.burst])],
    [nest(1, [attr(BAND_ATTR.TYPE, u32(0)), whole.rate, whole.burst])],
    [nest(1, [attr(BAND_ATTR.TYPE, u32(2)), whole.rate, whole.burst])],
    [nest(1, [attr(BAND_ATTR.TYPE, [1]), whole.rate, whole.burst])],
    [nest(1, [whole.type, attr(BAND_ATTR.RATE, [1]), whole.burst])],
    [nest(1, [whole.type, whole.rate, whole.burst, attr(BAND_ATTR.STATS, new Uint8Array(16).fill(1))])],
    [nest(1, [whole.type, whole.rate, whole.burst, attr(9, u32(1))])],
    [nest(0, [whole.type, whole.rate, whole.burst])],
    [nest(77, [whole.type, whole.rate, whole.burst])],
    [nest(1, [])],
    [attr(1, [1])],
  ];
  for (const list of lists) {
    for (const more of [[], [attr(METER_ATTR.KBPS, [])], [attr(METER_ATTR.CLEAR, [])]]) {
      script.send('meter', METER.SET, [...meterAttributes(3, list), ...more], { flags: ECHO });
      get(script, 3);
    }
  }
  script.send('meter', METER.SET, [id(4)], { flags: ECHO });
  script.send('meter', METER.SET, [nest(METER_ATTR.BANDS, [dropBand(1, 1)])], { flags: ECHO });
  get(script, 0);
  for (const size of [0, 1, 4, 8, 15, 16, 17]) {
    const given = attr(METER_ATTR.STATS, new Uint8Array(size).fill(3));
    script.send('meter', METER.SET, [...meterAttributes(6), given, attr(METER_ATTR.USED, new Uint8Array(8).fill(1))], {
      flags: ECHO,
    });
    get(script, 6);
  }
  return script.scenario;
}

/** Meters in flows: whether they must be there, what they count, what clears that. */
function traffic(): Scenario {
  const script = new Script('packets through meters');
  script.newDatapath('dp0');
  for (const device of ['tap0', 'tap1']) {
    script.device(device);
    script.newPort(device, VPORT_TYPE.NETDEV, [], { flags: ACK });
  }
  const metered = (number: number) => [attr(ACTION.METER, u32(number)), output(2)];
  const frames = () => {
    for (const size of [60, 100]) script.frame('tap0', etherFrame(0x1234, size));
    get(script, 1);
  };
  script.putFlow({ key: etherKey(1), actions: metered(1) });
  script.send('meter', METER.SET, meterAttributes(1, [dropBand(1_000_000, 1_000_000)]), { flags: ECHO });
  script.putFlow({ key: etherKey(1), actions: metered(1) });
  frames();
  script.send('meter', METER.SET, meterAttributes(1, [dropBand(2_000_000, 1_000_000)]), { flags: ECHO });
  frames();
  script.send('meter', METER.SET, [...meterAttributes(1, [dropBand(1_000_000, 9)]), attr(METER_ATTR.CLEAR, [])], {
    flags: ECHO,
  });
  frames();
  script.send('meter', METER.SET, meterAttributes(1, []), { flags: ECHO });
  frames();
  script.send('meter', METER.DEL, [id(1)], { flags: ECHO });
  frames();
  script.execute(etherFrame(), metered(1));
  script.flow(FLOW.SET, { key: etherKey(1), actions: metered(7) });
  script.dumpAll();
  return script.scenario;
}

export function meterScenarios(): Scenario[] {
  return [ids(), bands(), traffic()];
}
