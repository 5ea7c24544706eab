import { it } from 'vitest';
import { openDatapath } from './support/datapath.ts';
import { FlowSocket } from './support/flow-requests.ts';
import * as C from '../assembly/constants.ts';
it('x', async () => {
  const datapath = await openDatapath({ build: 'debug' });
  const m = datapath.memory;
  const lists = () => Array.from({ length: 64 }, (_, i) => m.superblock(C.SB_FREE_LISTS + 4 * i)).map((v, i) => [i, v]).filter(([, v]) => v !== 0);
  console.log(JSON.stringify(lists()), C.SB_FREE_LISTS, m.superblock(C.SB_ARENA));
  new FlowSocket(datapath);
  console.log(JSON.stringify(lists()));
  console.log(m.superblock(C.SB_ARENA_NEXT), m.superblock(C.SB_ARENA), m.superblock(C.SB_ARENA_SIZE), m.bytes.length, m.superblock(C.SB_RETIRED_HEAD), m.superblock(C.SB_RETIRED_COUNT)); datapath.ports.add('in', { portNo: 1 });
});
