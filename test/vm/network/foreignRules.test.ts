/** Beside other people's firewalls: ours holds, theirs stays as it is, and doctor says what is in the way. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBed, doors, hostDoors, inNamespace, places } from '../support/networkBed.ts';
import { closed, open, tcp } from './probes.ts';
import { bridge, gateway, openScene, type Scene } from './scene.ts';

/** As Docker leaves them: what is forwarded and not its own is dropped. */
const docker = `
table ip filter {
	chain DOCKER-USER { counter return; }
	chain DOCKER { }
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		counter jump DOCKER-USER
		oifname "docker0" ct state related,established counter accept
		oifname "docker0" counter jump DOCKER
		iifname "docker0" oifname != "docker0" counter accept
	}
}
table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 172.17.0.0/16 oifname != "docker0" counter masquerade
	}
}`;

/** As firewalld leaves them: whatever no zone claims is rejected. */
const firewalld = `
table inet firewalld {
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		jump filter_INPUT_ZONES
		reject with icmpx admin-prohibited
	}
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		jump filter_FORWARD_ZONES
		reject with icmpx admin-prohibited
	}
	chain filter_INPUT_ZONES { }
	chain filter_FORWARD_ZONES { }
}`;

interface Foreign {
  readonly name: string;
  readonly rules: string;
  readonly tables: readonly (readonly [string, string])[];
  /** What the fix must name. */
  readonly fix: RegExp;
  /** What the fix does to the rules, said to nft: the tools that it names are not installed everywhere. */
  readonly fixed: string;
  readonly forward: number;
}

const cases: readonly Foreign[] = [
  {
    name: 'Docker',
    rules: docker,
    tables: [
      ['ip', 'filter'],
      ['ip', 'nat'],
    ],
    fix: /DOCKER-USER.*br-coppice/s,
    fixed: `insert rule ip filter DOCKER-USER iifname "${bridge}" accept
insert rule ip filter DOCKER-USER oifname "${bridge}" accept
`,
    forward: 17_002,
  },
  {
    name: 'firewalld',
    rules: firewalld,
    tables: [['inet', 'firewalld']],
    fix: /firewall-cmd.*br-coppice/s,
    fixed: `add rule inet firewalld filter_FORWARD_ZONES iifname "${bridge}" accept
add rule inet firewalld filter_FORWARD_ZONES oifname "${bridge}" accept
add rule inet firewalld filter_INPUT_ZONES iifname "${bridge}" accept
`,
    forward: 17_003,
  },
];

for (const { name, rules, tables, fix, fixed, forward } of cases) {
  describeOnBed(`a bridge beside the rules of ${name}`, () => {
    let scene: Scene;
    let before: string;
    let machine: string;
    let another: string;

    /** Without counters, which count. */
    function theirs(): string {
      return tables
        .map(([family, table]) =>
          inNamespace(scene.bed.host, ['nft', '--stateless', 'list', 'table', family, table]),
        )
        .join('\n');
    }

    const conflicts = async () => {
      const { checks } = await scene.client().call('daemon_doctor', {});
      return checks.filter((check) => fix.test(`${check.detail} ${check.fix ?? ''}`));
    };

    beforeAll(async () => {
      scene = await openScene({
        bridgesAreFiltered: name === 'Docker',
        prepare: ({ host }) => inNamespace(host, ['nft', rules]),
      });
      before = theirs();
      const [a, b] = await scene.add({ a: { internet: 'full' }, b: {} });
      machine = a!.address;
      another = b!.address;
      const ports = { guest_port: doors.open, host_port: forward, bind: '127.0.0.1' };
      await scene.client().call('port_forward_add', { workspace_id: 'a', ...ports });
      await scene.bed.hostPeers.listen(gateway, hostDoors.gateway);
    });
    afterAll(async () => {
      await scene.dispose();
    });

    async function expectIsolated(): Promise<void> {
      await scene.expectAll('a', [
        closed('another machine', tcp(another, doors.closed)),
        closed('the host', tcp(gateway, hostDoors.everywhere)),
        closed('the host, the gateway alone', tcp(gateway, hostDoors.gateway)),
        closed('the host outside', tcp(places.outer, hostDoors.everywhere)),
        closed('the local network', tcp(places.neighbour, doors.closed)),
      ]);
      await scene.expectAll('internet', [
        closed('a machine from outside', tcp(machine, doors.closed)),
        closed('a forward of 127.0.0.1', tcp(places.outer, forward)),
      ]);
    }

    it('isolates, and forwards', async () => {
      await expectIsolated();
      await scene.expectAll('host', [open('a forward', tcp('127.0.0.1', forward))]);
    });

    it('is told by doctor what keeps machines from the internet, and how to let them', async () => {
      await scene.expectAll('a', [closed('the internet', tcp(places.twenty, doors.open))]);
      const found = await conflicts();
      expect(found.map(({ status }) => status)).toEqual(['warning']);
      expect(found[0]?.fix).toMatch(fix);
    });

    it('leaves their rules as they are, also when machines come and go', async () => {
      await scene.client().call('workspace_stop', { workspace_id: 'b' });
      await scene.client().call('workspace_start', { workspace_id: 'b' });
      await scene.serve('b');
      expect(theirs()).toBe(before);
    });

    it('reaches the internet once the fix is in place, and is as isolated as before', async () => {
      inNamespace(scene.bed.host, ['nft', fixed]);
      await scene.expectAll('a', [open('the internet', tcp(places.twenty, doors.open))]);
      await expectIsolated();
      await scene.expectAll('host', [open('a forward', tcp('127.0.0.1', forward))]);
      expect(await conflicts()).toEqual([]);
    });
  });
}
