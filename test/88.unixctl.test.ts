/*
 * The control socket's protocol: what ovs-vswitchd does with a stream of bytes, our server does too; stock ovs-appctl is served; our client asks both.
 */
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JsonStreamError, JsonValues } from '../src/control/json-values.ts';
import { UnixctlCommands, UnixctlError } from '../src/control/unixctl.ts';
import { unixctlTransact } from '../src/control/unixctl-client.ts';
import { UnixctlServer } from '../src/control/unixctl-server.ts';
import { registerVlog } from '../src/control/vlog-commands.ts';
import { Log } from '../src/log.ts';
import { DummySwitch, whyNoDummySwitch } from './support/dummy-switch.ts';
import { requireProgram } from './support/require.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'unixctl-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a server makes of a stream: its replies, and whether it hung up before the client did. */
interface Talk {
  replies: unknown[];
  disconnected: boolean;
}

/** Sends the pieces one after the other and listens until there are so many replies, or, when there are none to come, until the server hangs up. */
function talk(socketPath: string, pieces: readonly (string | Buffer)[], replies: number): Promise<Talk> {
  return new Promise((resolve, reject) => {
    const values = new JsonValues(1 << 20);
    const result: Talk = { replies: [], disconnected: false };
    const socket = connect(socketPath);
    const finish = (): void => {
      clearTimeout(timer);
      socket.removeAllListeners('close');
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(finish, 600_000);
    const hungUp = ['EPIPE', 'ECONNRESET'];
    socket.on('error', (error: NodeJS.ErrnoException) => (hungUp.includes(error.code!) ? undefined : reject(error)));
    socket.on('data', (bytes) => {
      result.replies.push(...values.push(bytes));
      if (result.replies.length === replies) finish();
    });
    socket.on('close', () => {
      result.disconnected = true;
      finish();
    });
    for (const piece of pieces) socket.write(piece);
  });
}

const request = (method: unknown, params: unknown, id: unknown = 0): string => JSON.stringify({ id, method, params });

/** Streams, with the number of replies that each gets before anything else happens. */
const STREAMS: readonly (readonly [name: string, pieces: readonly (string | Buffer)[], replies: number])[] = [
  ['a request', [request('vlog/set', ['off'])], 1],
  ['a request, byte by byte', [...request('vlog/set', ['off'])], 1],
  ['two requests in one piece', [request('vlog/set', ['off'], 1) + request('vlog/set', ['off'], 2)], 2],
  ['white space around requests', [` \n\t${request('vlog/set', ['off'])}\r\n `, request('vlog/set', ['off'])], 2],
  [
    'ids of every kind',
    ['"a"', '{"x":[1]}', '[null]', 'true', '1.5'].map((id) => `{"id":${id},"method":"vlog/set","params":[]}`),
    5,
  ],
  ['null members beside the request', ['{"id":3,"method":"vlog/set","params":[],"result":null,"error":null}'], 1],
  ['a command that does not exist', [request('no-such-command', [])], 1],
  ['too many arguments', [request('version', ['x'])], 1],
  ['too few arguments', [request('coverage/read-counter', [])], 1],
  ['an argument that is no string', [request('vlog/set', ['off', 7])], 1],
  ['no such level', [request('vlog/set', ['nosuch:dbg'])], 1],
  ['two levels', [request('vlog/set', ['dbg:info'])], 1],
  ['two destinations', [request('vlog/set', ['console:file'])], 1],
  ['no log file', [request('vlog/reopen', [])], 1],
  ['no such counter', [request('coverage/read-counter', ['nosuch'])], 1],
  ['escapes in an argument', [request('no\u00e9 "\\\n\u{1f600}', [])], 1],
  ['a notification', [request('vlog/set', ['off'], null)], 0],
  ['a reply', ['{"id":0,"result":"x","error":null}'], 0],
  ['an error', ['{"id":0,"result":null,"error":"x"}'], 0],
  ['an array', ['[1]'], 0],
  ['a string', ['"x"'], 0],
  ['a number', ['1 '], 0],
  ['something else', ['hello '], 0],
  ['a member too many', ['{"id":0,"method":"version","params":[],"more":1}'], 0],
  ['no method', ['{"id":0,"params":[]}'], 0],
  ['no params', ['{"id":0,"method":"version"}'], 0],
  ['params that are no array', ['{"id":0,"method":"version","params":{}}'], 0],
  ['a method that is no string', ['{"id":0,"method":1,"params":[]}'], 0],
  ['a request and a reply in one', ['{"id":0,"method":"version","params":[],"result":"x"}'], 0],
  ['bad JSON', ['{"id":0,,}'], 0],
  ['a closing bracket', ['}'], 0],
  ['brackets without end', ['['.repeat(2000)], 0],
];

function makeCommands(): UnixctlCommands {
  const commands = new UnixctlCommands('wdp 0');
  registerVlog(commands, new Log(() => {}));
  commands.register('coverage/read-counter', {
    usage: 'COUNTER',
    minArgs: 1,
    maxArgs: 1,
    run: () => {
      throw new UnixctlError('No such counter');
    },
  });
  commands.register('slow', {
    usage: '',
    minArgs: 0,
    maxArgs: 0,
    run: () => new Promise((resolve) => setTimeout(resolve, 200, 'done')),
  });
  commands.register('broken', {
    usage: undefined,
    minArgs: 0,
    maxArgs: 0,
    run: () => (undefined as unknown as string[])[0],
  });
  commands.register('echo', { usage: '[ARG...]', minArgs: 0, maxArgs: 100, run: (args) => args.join('|') });
  return commands;
}

const whyNot = whyNoDummySwitch();

describe.skipIf(whyNot)(`streams, beside ovs-vswitchd (${whyNot ?? 'runs'})`, () => {
  let theirs: DummySwitch;
  let ours: UnixctlServer;
  beforeAll(async () => {
    theirs = await DummySwitch.start();
    ours = await UnixctlServer.listen({ path: path.join(folder, 'beside.ctl'), commands: makeCommands() });
  });
  afterAll(async () => {
    await ours?.close();
    await theirs?.stop();
  });

  it.each(STREAMS)('%s', async (_name, pieces, replies) => {
    const answers = await Promise.all([theirs.controlPath, ours.path].map((socket) => talk(socket, pieces, replies)));
    expect(answers[1].replies).toEqual(answers[0].replies);
    expect(answers[0].replies).toHaveLength(replies);
    expect(answers[1].disconnected).toBe(answers[0].disconnected);
  });

  it('our client asks ovs-vswitchd', async () => {
    expect(await unixctlTransact(theirs.controlPath, 'dpctl/dump-dps', [])).toEqual({
      text: 'dummy@ovs-dummy\n',
      failed: false,
    });
    expect(await unixctlTransact(theirs.controlPath, 'dpctl/show', ['nosuch'])).toEqual({
      text: 'ovs-vswitchd: opening datapath nosuch failed (No such device)\n',
      failed: true,
    });
  });
});

const withOvs = requireProgram('ovs-appctl');

describe('our server', () => {
  const socketPath = path.join(folder, 'ours.ctl');
  const troubles: string[] = [];
  let server: UnixctlServer;
  beforeAll(async () => {
    server = await UnixctlServer.listen({
      path: socketPath,
      commands: makeCommands(),
      onTrouble: (text) => troubles.push(text),
    });
  });
  afterAll(() => server.close());

  it.skipIf(withOvs)('serves stock ovs-appctl', async () => {
    const appctl = (...args: string[]) =>
      new Promise((resolve) =>
        execFile('ovs-appctl', ['-t', socketPath, ...args], (error, stdout, stderr) =>
          resolve({ status: error === null ? 0 : error.code, stdout, stderr }),
        ),
      );
    expect(await appctl('echo', 'a b', 'é')).toEqual({ status: 0, stdout: 'a b|é\n', stderr: '' });
    expect(await appctl('vlog/set', 'dbg')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(await appctl('list-commands')).toMatchObject({
      stdout: expect.stringContaining('  echo                    [ARG...]\n'),
    });
    expect(await appctl('nosuch')).toEqual({
      status: 2,
      stdout: '',
      stderr:
        '"nosuch" is not a valid command (use "list-commands" to see a list of valid commands)\n' +
        `ovs-appctl: ${socketPath}: server returned an error\n`,
    });
  });

  it('belongs to its owner alone', () => {
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  });

  it('answers the requests of a connection in order, and those of others meanwhile', async () => {
    const slow = talk(socketPath, [request('slow', [], 'slow') + request('echo', ['a', 'b'], 'after')], 2);
    const meanwhile = await talk(socketPath, [request('echo', ['c'])], 1);
    expect(meanwhile.replies).toEqual([{ id: 0, result: 'c\n', error: null }]);
    expect((await slow).replies).toEqual([
      { id: 'slow', result: 'done\n', error: null },
      { id: 'after', result: 'a|b\n', error: null },
    ]);
  });

  it('answers a client that has closed its half', async () => {
    const reply = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect({ path: socketPath, allowHalfOpen: true }, () => socket.end(request('slow', [])));
      socket.on('data', (bytes) => {
        text += bytes;
      });
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
    });
    expect(JSON.parse(reply)).toEqual({ id: 0, result: 'done\n', error: null });
  });

  it('survives clients that go away, and one that goes on and on', async () => {
    for (let i = 0; i < 50; i++)
      connect(socketPath, function (this: { destroy(): void }) {
        this.destroy();
      });
    const leaving = connect(socketPath, () => leaving.write(request('slow', []), () => leaving.destroy()));
    const flood = await talk(socketPath, [`{"id":0,"method":"${'x'.repeat(5 * 1024 * 1024)}`], 0);
    expect(flood).toEqual({ replies: [], disconnected: true });
    expect(troubles.pop()).toContain('more than');
    expect((await talk(socketPath, [request('echo', ['still here'])], 1)).replies).toHaveLength(1);
  });

  it('bytes that are no UTF-8 end the connection', async () => {
    const bytes = Buffer.from('{"id":0,"method":"\xff","params":[]}', 'latin1');
    expect(await talk(socketPath, [bytes], 0)).toEqual({ replies: [], disconnected: true });
    expect(troubles.pop()).toContain('UTF-8');
  });

  it('a command that breaks is an error of that command', async () => {
    const { replies } = await talk(socketPath, [request('broken', [])], 1);
    expect(replies).toEqual([{ id: 0, error: expect.stringContaining('internal error') }]);
    expect(troubles.pop()).toContain('TypeError');
  });

  it('a reply is as long as it is', async () => {
    const long = 'é"\n'.repeat(1 << 20);
    expect(await unixctlTransact(socketPath, 'echo', [long.slice(0, 1 << 20)])).toEqual({
      text: long.slice(0, 1 << 20) + (long[(1 << 20) - 1] === '\n' ? '' : '\n'),
      failed: false,
    });
  });

  it('refuses a path that is taken, and takes one that was left behind', async () => {
    const listen = (name: string) => UnixctlServer.listen({ path: name, commands: makeCommands() });
    await expect(listen(socketPath)).rejects.toThrow(/another program serves it/);
    const file = path.join(folder, 'file');
    writeFileSync(file, '');
    await expect(listen(file)).rejects.toThrow(/not a socket/);
    await expect(listen(path.join(folder, 'no', 'such.ctl'))).rejects.toMatchObject({ code: 'ERR_CONTROL' });
    await expect(listen(path.join(folder, 'x'.repeat(120)))).rejects.toThrow(/at most 107 bytes/);
    const left = path.join(folder, 'left.ctl');
    const script = `require('node:net').createServer().listen(${JSON.stringify(left)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    expect(existsSync(left)).toBe(true);
    await (await listen(left)).close();
    expect(existsSync(left)).toBe(false);
  });

  it('answers what is at work before it closes', async () => {
    const commands = makeCommands();
    const begun = new Promise<void>((resolve) => {
      const run = (): Promise<string> => {
        resolve();
        return new Promise((done) => setTimeout(done, 100, 'done'));
      };
      commands.register('begin', { usage: '', minArgs: 0, maxArgs: 0, run });
    });
    const closing = await UnixctlServer.listen({ path: path.join(folder, 'closing.ctl'), commands });
    const answer = talk(closing.path, [request('begin', [])], 1);
    await begun;
    await closing.close();
    expect((await answer).replies).toHaveLength(1);
    expect(existsSync(closing.path)).toBe(false);
  });
});

describe('our client', () => {
  const failure = (socketPath: string, timeoutMs = 5000) =>
    expect(unixctlTransact(socketPath, 'version', [], { timeoutMs })).rejects;

  /** A server that says `text` to whoever comes. */
  async function serving(text: string, use: (socketPath: string) => Promise<void>): Promise<void> {
    const socketPath = path.join(folder, 'other.ctl');
    const server = createServer((socket) => socket.resume().end(text));
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    await use(socketPath);
    await new Promise((resolve) => server.close(resolve));
  }

  it('says who is not there', async () => {
    await failure(path.join(folder, 'nobody.ctl')).toThrow(/no such socket/);
    const file = path.join(folder, 'plain');
    writeFileSync(file, '');
    chmodSync(file, 0o600);
    await failure(file).toThrow(/nobody serves this socket/);
  });

  it.each([
    ['', /closed without an answer/],
    ['hello', /not an answer of a control socket/],
    ['{"id":0,"result":7,"error":null}', /a reply is a string/],
    ['{"id":0,"method":"x","params":[]}', /a reply is a string/],
  ])('says what is no answer: %s', async (text, message) => {
    await serving(text, (socketPath) => failure(socketPath).toThrow(message));
  });
});

describe('values out of a stream', () => {
  it('are found wherever the stream is cut', () => {
    const text = ' {"a":"]}\\"{"} [[],{}]\n{"\u00e9é":1}';
    const bytes = Buffer.from(text);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const values = new JsonValues(100);
      const found = [...values.push(bytes.subarray(0, cut)), ...values.push(bytes.subarray(cut))];
      expect(found).toEqual([{ a: ']}"{' }, [[], {}], { éé: 1 }]);
    }
  });

  it('are not longer than allowed', () => {
    expect(new JsonValues(10).push(Buffer.from('["123456"]'))).toEqual([['123456']]);
    expect(() => new JsonValues(10).push(Buffer.from('["1234567"]'))).toThrow(JsonStreamError);
  });
});
