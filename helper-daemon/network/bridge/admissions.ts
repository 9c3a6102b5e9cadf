/** What names have led machines to: elements that end by themselves, and what is known of them here. */
import type { PortRange } from '../../../protocol/networkTarget.ts';
import type { Card } from '../network.ts';
import { isPrivate } from '../policy.ts';
import { domainPorts } from './cardElements.ts';
import type { TimedElement } from './elements.ts';
import { pieces, portText, within } from './portRanges.ts';

export interface Admissions {
  /** What must be said to the kernel so that `addresses` are open for `seconds`; less is open already. */
  admit(
    asker: Card,
    addresses: readonly string[],
    ports: readonly (PortRange | undefined)[],
    seconds: number,
  ): TimedElement[];
  /** The kernel did not take them. */
  withdraw(elements: readonly TimedElement[]): void;
  /** What was open for a machine and is to end. */
  forget(address: string): TimedElement[];
  /** What is open now, with the seconds left. */
  live(): TimedElement[];
  /** Machines that have any. */
  machines(): string[];
  /** What an earlier daemon left open. */
  restore(elements: readonly TimedElement[]): void;
}

/** A machine that resolves many names loses the oldest of them. */
const maxPerMachine = 4096;
/** Answers are remembered for less than what they open is open, so not every one needs a transaction. */
const toleranceSeconds = 30;

interface Open {
  readonly element: TimedElement;
  /** Milliseconds, monotonic. */
  readonly until: number;
}

export function createAdmissions(now: () => number = () => performance.now()): Admissions {
  const machines = new Map<string, Map<string, Open>>();

  const left = ({ element, until }: Open): TimedElement => ({
    ...element,
    timeout: Math.max(1, Math.ceil((until - now()) / 1000)),
  });

  function openFor(address: string): Map<string, Open> {
    const open = machines.get(address) ?? new Map<string, Open>();
    machines.set(address, open);
    for (const [key, { until }] of open) if (until <= now()) open.delete(key);
    return open;
  }

  function record(open: Map<string, Open>, element: TimedElement): void {
    const key = keyOf(element);
    // Maps keep the order of insertion: the first was renewed longest ago.
    open.delete(key);
    open.set(key, { element, until: now() + element.timeout * 1000 });
  }

  return {
    admit(asker, addresses, ports, seconds) {
      const open = openFor(asker.address);
      const timeout = Math.max(1, Math.ceil(seconds));
      const enough = now() + (timeout - toleranceSeconds) * 1000;
      const needed = addresses
        .filter((address) => !isPrivate(address))
        .flatMap((address) => elementsFor(asker, address, ports, timeout))
        .filter((element) => (open.get(keyOf(element))?.until ?? 0) <= Math.max(enough, now()))
        .slice(0, maxPerMachine);
      for (const element of needed) record(open, element);
      // The kernel forgets the others when their time is over.
      for (const key of open.keys()) {
        if (open.size <= maxPerMachine) break;
        open.delete(key);
      }
      return needed;
    },
    withdraw(elements) {
      for (const element of elements) machines.get(element.key[0] ?? '')?.delete(keyOf(element));
    },
    forget(address) {
      const open = machines.get(address);
      machines.delete(address);
      return [...(open?.values() ?? [])].map(left);
    },
    live: () => [...machines.keys()].flatMap((address) => [...openFor(address).values()].map(left)),
    machines: () => [...machines.keys()],
    restore(elements) {
      for (const element of elements) {
        if (element.timeout > 0) record(openFor(element.key[0] ?? ''), element);
      }
    },
  };
}

function keyOf({ set, key }: TimedElement): string {
  return `${set} ${key.join(' ')}`;
}

function elementsFor(
  asker: Card,
  address: string,
  ports: readonly (PortRange | undefined)[],
  timeout: number,
): TimedElement[] {
  if (ports.includes(undefined)) {
    return [{ set: 'names', key: [asker.address, address], timeout }];
  }
  const wanted = ports.filter((range) => range !== undefined);
  return pieces(domainPorts(asker.policy))
    .filter((piece) => wanted.some((range) => within(piece, range)))
    .map((piece) => ({
      set: 'name_ports',
      key: [asker.address, address, portText(piece)],
      timeout,
    }));
}
