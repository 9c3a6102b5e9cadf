/** Elements of our sets and maps, and nft's commands for them. */

/** Sets by the table they are in. */
const families = {
  cards: 'bridge',
  sources: 'bridge',
  sent: 'inet',
  received: 'inet',
  refused: 'inet',
  upload: 'inet',
  download: 'inet',
  revision: 'inet',
  current: 'inet',
  everywhere: 'inet',
  public_ports: 'inet',
  cidrs: 'inet',
  cidr_ports: 'inet',
  names: 'inet',
  name_ports: 'inet',
  pairs: 'inet',
  open: 'inet',
  inbound: 'inet',
  forwards: 'inet',
  forwards_any: 'inet',
  forwarded: 'inet',
  published: 'inet',
  published_any: 'inet',
} as const;

/** Every set that holds machines, apart from what the kernel itself adds. */
export type SetName = keyof typeof families;

export interface SetElement {
  readonly set: SetName;
  /** Addresses, prefixes, ports, ranges of ports, device names, numbers. */
  readonly key: readonly string[];
  /** Of maps: what is found there. */
  readonly value?: readonly string[];
}

/** A limit in one direction that an element of `upload` or `download` names. */
export interface LimitObject {
  readonly limit: string;
  readonly bytesPerSecond: number;
}

export type Element = SetElement | LimitObject;

/** An element that ends by itself. */
export interface TimedElement {
  readonly set: 'names' | 'name_ports';
  readonly key: readonly string[];
  /** Seconds. */
  readonly timeout: number;
}

export function isLimit(element: Element | TimedElement): element is LimitObject {
  return 'limit' in element;
}

/** The same text for the same element. */
export function idOf(element: Element | TimedElement): string {
  if (isLimit(element)) return `limit|${element.limit}`;
  const value = 'value' in element ? element.value?.join(' ') : undefined;
  return `${element.set}|${element.key.join(' ')}|${value ?? ''}`;
}

export function isSetElement(element: Element): element is SetElement {
  return !isLimit(element);
}

function familyOf(set: SetName): 'bridge' | 'inet' {
  return families[set];
}

export function isSetName(name: string): name is SetName {
  return Object.hasOwn(families, name);
}

/** Sets whose elements end by themselves; they belong to the name server's findings. */
export function isTimedSet(name: SetName): name is TimedElement['set'] {
  return name === 'names' || name === 'name_ports';
}

/** The least that lets one segment of 64 KiB pass. */
const limitBurstBytes = 65_536;

/**
 * Makes a limit. The kernel lets pass at once what one second allows, and the burst beside it.
 * Text, like all that follows: nft reads JSON only from files that can be opened by name, which a socket is not.
 */
export function limitCommand({ limit, bytesPerSecond }: LimitObject): string {
  const rate = `rate over ${String(bytesPerSecond)} bytes/second`;
  return `add limit inet coppice ${limit} { ${rate} burst ${String(limitBurstBytes)} bytes; }`;
}

/** One command for each set. */
export function elementCommands(
  verb: 'add' | 'delete',
  elements: readonly (SetElement | TimedElement)[],
): string[] {
  return [...Map.groupBy(elements, ({ set }) => set)].map(([set, members]) => {
    const texts = members.map((element) => elementText(element, verb));
    return `${verb} element ${familyOf(set)} coppice ${set} { ${texts.join(', ')} }`;
  });
}

function elementText(element: SetElement | TimedElement, verb: 'add' | 'delete'): string {
  const key = element.key.map(partText).join(' . ');
  if ('timeout' in element) {
    return verb === 'add' ? `${key} timeout ${String(element.timeout)}s` : key;
  }
  if (element.value === undefined) return key;
  return `${key} : ${element.value.map(partText).join(' . ')}`;
}

/** Names of devices and of limits. */
function partText(part: string): string {
  return /^[a-z]/.test(part) && !/^[0-9a-f]{2}:/.test(part) ? `"${part}"` : part;
}
