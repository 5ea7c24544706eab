/*
 * add-dp, del-dp, add-if, set-if, del-if: datapaths and their ports made, changed and taken away. Before it: commands.ts. After it: Dpif, which makes what
 * devices a port needs.
 */
import { constants } from 'node:os';
import { Dpif } from '../dpif/dpif.ts';
import { changeLink, findLink } from '../ports/links.ts';
import type { DpctlContext } from './context.ts';
import { openMend, withDatapath } from './datapaths.ts';

const { EINVAL, ENOENT, EEXIST, ENODEV, EOPNOTSUPP } = constants.errno;

/** `NAME[,type=TYPE][,port_no=N][,KEY=VALUE]...` */
interface PortArgument {
  name: string;
  type: string | undefined;
  portNo: number | undefined;
  options: { [key: string]: string };
}

export async function addDp(context: DpctlContext, args: readonly string[]): Promise<void> {
  const [name, ...interfaces] = args;
  try {
    Dpif.open(name, { create: true }).close();
  } catch (error) {
    const mend = openMend(context, name, error);
    return context.fail('add_dp', error, mend);
  }
  if (interfaces.length > 0) await addIf(context, args);
}

export async function delDp(context: DpctlContext, [name]: readonly string[]): Promise<void> {
  await withDatapath(context, name, (dpif) => {
    attempt(context, 'del_dp', () => dpif.destroy());
  });
}

export async function addIf(context: DpctlContext, [datapath, ...interfaces]: readonly string[]): Promise<void> {
  await withDatapath(context, datapath, (dpif) => {
    for (const text of interfaces) {
      const port = readPort(context, text);
      if (port !== undefined) addPort(context, dpif, datapath, port);
    }
  });
}

function addPort(context: DpctlContext, dpif: Dpif, datapath: string, port: PortArgument): void {
  const { name, type = 'system', portNo, options } = port;
  const isKernels = dpif.type === 'system';
  attempt(context, `adding ${name} to ${datapath} failed`, () => {
    if (isKernels && type === 'system' && findLink(name) === undefined)
      return context.fail(`${name}: failed to open network device`, ENODEV);
    dpif.portAdd({ name, type, options }, portNo);
    if (isKernels && HAS_OWN_DEVICE.has(type)) bringUp(context, name);
  });
}

/** Types whose device is the port's own, and nobody has set up yet. */
const HAS_OWN_DEVICE: ReadonlySet<string> = new Set(['system', 'internal']);

function bringUp(context: DpctlContext, name: string): void {
  attempt(context, `${name}: failed bringing interface up`, () => {
    const link = findLink(name);
    if (link !== undefined && !link.up) changeLink(link.ifindex, { up: true });
  });
}

export async function setIf(context: DpctlContext, [datapath, ...interfaces]: readonly string[]): Promise<void> {
  await withDatapath(context, datapath, (dpif) => {
    for (const text of interfaces) {
      const wanted = readPort(context, text);
      if (wanted !== undefined) changePort(context, dpif, datapath, wanted);
    }
  });
}

/** Of no port that there is can the options of its device change. */
function changePort(context: DpctlContext, dpif: Dpif, datapath: string, wanted: PortArgument): void {
  const { name, type, portNo, options } = wanted;
  attempt(context, `${name}: failed to query port in ${datapath}`, () => {
    const port = dpif.portQueryByName(name);
    if (port === undefined) return context.fail(`${name}: failed to query port in ${datapath}`, ENODEV);
    if (type !== undefined && type !== port.type)
      return context.fail(`${name}: can't change type from ${port.type} to ${type}`);
    if (portNo !== undefined && portNo !== port.portNo)
      return context.fail(`${name}: can't change port number from ${port.portNo} to ${portNo}`);
    if (Object.keys(options).length > 0) context.fail(`${name}: Error updating configuration`, EOPNOTSUPP);
  });
}

export async function delIf(context: DpctlContext, [datapath, ...interfaces]: readonly string[]): Promise<void> {
  await withDatapath(context, datapath, (dpif) => {
    for (const name of interfaces) {
      attempt(context, `deleting port ${name} from ${datapath} failed`, () => {
        const portNo = /^\d+$/.test(name) ? Number(name) : dpif.portQueryByName(name)?.portNo;
        if (portNo === undefined) return context.fail(`no port named ${name}`, ENOENT);
        dpif.portDel(portNo);
      });
    }
  });
}

function attempt(context: DpctlContext, what: string, action: () => unknown): void {
  try {
    action();
  } catch (error) {
    context.fail(what, error);
  }
}

/** Takes the argument apart; what is wrong in it is a failure. */
function readPort(context: DpctlContext, text: string): PortArgument | undefined {
  const [name, ...items] = text.split(',').filter((part) => part !== '');
  if (name === undefined) {
    context.fail(`${text} is not a valid network device name`, EINVAL);
    return undefined;
  }
  const values = new Map<string, string>();
  for (const item of items) {
    const [key, ...rest] = item.split('=');
    if (values.has(key)) context.fail(`duplicate "${key}" option`, EEXIST);
    else values.set(key, rest.join('='));
  }
  const { type, port_no: number, ...options } = Object.fromEntries(values);
  if (number !== undefined && !/^\d+$/.test(number)) {
    context.fail(`${text}: port_no is a number`, EINVAL);
    return undefined;
  }
  return { name, type, portNo: number === undefined ? undefined : Number(number), options };
}
