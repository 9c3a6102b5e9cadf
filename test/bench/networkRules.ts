/**
 * Runs inside a network namespace: what the rules of one more machine cost beside those that are there. Prints
 * samples as JSON, and leaves the rules behind.
 *
 *   node networkRules.ts <machines> <rounds>
 */
import { pino } from 'pino';
import { addressPlan } from '../../helper-daemon/network/addressPlan.ts';
import { ensureBridge } from '../../helper-daemon/network/bridge/bridgeDevice.ts';
import { elementsOfCard, tapName } from '../../helper-daemon/network/bridge/cardElements.ts';
import { openFirewall, type Step } from '../../helper-daemon/network/bridge/firewall.ts';
import { skeleton } from '../../helper-daemon/network/bridge/skeleton.ts';
import { run } from '../../helper-daemon/system/run.ts';
import { benchMachine } from './networkBed.ts';
import { timed } from './samples.ts';

export interface RuleSamples {
  /** A transaction of nft that adds one element to an empty set, and one that takes it out again. */
  readonly bareAdd: readonly number[];
  readonly bareRemove: readonly number[];
  readonly add: readonly number[];
  readonly remove: readonly number[];
}

async function measure(machines: number, rounds: number): Promise<RuleSamples> {
  const plan = addressPlan('10.42.0.0/16');
  const bridge = 'br-coppice';
  const rules = skeleton({ bridge, subnet: plan.subnet, gateway: plan.gateway });
  const firewall = await openFirewall(rules, () => [], pino({ level: 'silent' }));
  await ensureBridge(bridge, plan);
  const wanting = (index: number): Step => {
    const { run: key, card } = benchMachine(index);
    const elements = elementsOfCard(card, tapName(key.runId));
    return { want: { group: key.workspaceId, elements: () => elements } };
  };
  const without = (index: number): Step => ({
    want: { group: benchMachine(index).run.workspaceId, elements: () => [] },
  });
  const all = Array.from({ length: machines }, (_, index) => wanting(index));
  await firewall.apply(...all);
  await nft('add table inet bare\nadd set inet bare one { type ipv4_addr; }');
  const samples = {
    bareAdd: [] as number[],
    bareRemove: [] as number[],
    add: [] as number[],
    remove: [] as number[],
  };
  // The last of them comes and goes.
  const last = machines - 1;
  for (let round = 0; round < rounds; round += 1) {
    samples.remove.push((await timed(() => firewall.apply(without(last)))).ms);
    samples.add.push((await timed(() => firewall.apply(wanting(last)))).ms);
    samples.bareAdd.push((await timed(() => nft('add element inet bare one { 192.0.2.1 }'))).ms);
    const removing = 'delete element inet bare one { 192.0.2.1 }';
    samples.bareRemove.push((await timed(() => nft(removing))).ms);
  }
  await nft('delete table inet bare');
  return samples;
}

async function nft(text: string): Promise<void> {
  await run('nft', ['-f', '-'], { input: `${text}\n` });
}

const [machines = '1', rounds = '1'] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await measure(Number(machines), Number(rounds))));
