/*
 * The families of a server, by id and by name, and the ids of their groups. Before it: FamilyServer registers. After it: the dispatcher looks up
 * the family of a request, nlctrl tells clients about them.
 */
import { GENL_ID_CTRL } from '../constants.ts';
import type { Family } from './family.ts';

/** Ids of families and groups that are not nlctrl's; the kernel's first dynamic ones are near. */
const FIRST_ID = 32;
const ID_MAX = 1023;

export class RegisteredFamily {
  readonly id: number;
  readonly family: Family;
  /** Ids by name. */
  readonly groups: ReadonlyMap<string, number>;

  constructor(id: number, family: Family, groups: ReadonlyMap<string, number>) {
    this.id = id;
    this.family = family;
    this.groups = groups;
  }

  /** TypeError when the family has no such group. */
  groupId(name: string): number {
    const id = this.groups.get(name);
    if (id === undefined) throw new TypeError(`family ${this.family.name} has no group ${name}`);
    return id;
  }
}

export class FamilyRegistry {
  readonly #byId = new Map<number, RegisteredFamily>();
  readonly #byName = new Map<string, RegisteredFamily>();
  readonly #byGroup = new Map<number, RegisteredFamily>();
  #nextId = FIRST_ID;
  #nextGroup = FIRST_ID;

  /** nlctrl has the fixed id GENL_ID_CTRL, and so has its group. Names are unique: TypeError. */
  add(family: Family, control = false): RegisteredFamily {
    if (this.#byName.has(family.name)) throw new TypeError(`family ${family.name} is registered already`);
    const groups = new Map<string, number>();
    for (const name of family.groups.keys()) groups.set(name, control ? GENL_ID_CTRL : this.#nextGroup++);
    const registered = new RegisteredFamily(control ? GENL_ID_CTRL : this.#freeId(), family, groups);
    this.#byId.set(registered.id, registered);
    this.#byName.set(family.name, registered);
    for (const id of groups.values()) this.#byGroup.set(id, registered);
    return registered;
  }

  remove(registered: RegisteredFamily): void {
    this.#byId.delete(registered.id);
    this.#byName.delete(registered.family.name);
    for (const id of registered.groups.values()) this.#byGroup.delete(id);
  }

  byId(id: number): RegisteredFamily | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): RegisteredFamily | undefined {
    return this.#byName.get(name);
  }

  /** The family that has the group, and the group's definition. */
  byGroup(id: number): { registered: RegisteredFamily; admin: boolean } | undefined {
    const registered = this.#byGroup.get(id);
    if (registered === undefined) return undefined;
    const name = [...registered.groups].find(([, group]) => group === id)?.[0] ?? '';
    return { registered, admin: registered.family.groups.get(name)?.admin === true };
  }

  /** In the order of their ids. */
  all(): RegisteredFamily[] {
    return [...this.#byId.values()].sort((one, other) => one.id - other.id);
  }

  /** Ids go round, so that one that was given back is not met again soon. */
  #freeId(): number {
    for (let tried = FIRST_ID; tried <= ID_MAX; tried++) {
      const id = this.#nextId;
      this.#nextId = id === ID_MAX ? FIRST_ID : id + 1;
      if (!this.#byId.has(id)) return id;
    }
    throw new RangeError(`a server has at most ${ID_MAX - FIRST_ID + 1} families`);
  }
}
