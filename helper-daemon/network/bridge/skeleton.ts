/**
 * The rules themselves, the same for any number of machines: what differs from machine to machine are only elements
 * of the sets and maps here. Every packet finds its way by look-ups, so its cost does not grow with their number.
 */
import { createHash } from 'node:crypto';
import { nameServicePorts, privateRanges } from '../policy.ts';

/** Our tables; no other is ever read or changed by the network. */
export const tables = [
  { family: 'bridge', name: 'coppice' },
  { family: 'inet', name: 'coppice' },
] as const;

/** TAP devices of machines; nothing else on the host may be named so. */
export const tapPrefix = 'cpt-';

export interface SkeletonOptions {
  readonly bridge: string;
  readonly subnet: string;
  readonly gateway: string;
}

export interface Skeleton {
  /** Name of an empty set that says which rules are loaded. */
  readonly version: string;
  /** Replaces our tables by the rules without any machine. Text for nft. */
  readonly text: string;
}

export function skeleton(options: SkeletonOptions): Skeleton {
  const body = `${bridgeTable}\n${inetTable(options)}`;
  const version = `version_${createHash('sha256').update(body).digest('hex').slice(0, 16)}`;
  const fresh = tables.map(({ family, name }) => {
    const table = `table ${family} ${name}`;
    // Adding first makes deleting possible also where there is none.
    return `add ${table}\ndelete ${table}\nadd ${table}\n`;
  });
  const mark = `add set inet coppice ${version} { type ipv4_addr; }\n`;
  return { version, text: `${fresh.join('')}${body}\n${mark}` };
}

/** Who sends: a frame passes only as what the machine's card says. */
const bridgeTable = `
table bridge coppice {
  set cards { type ifname . ether_addr; }
  set sources { type ifname . ether_addr . ipv4_addr; }
  counter forged_mac { }
  counter forged_arp { }
  counter forged_ip { }
  counter other_protocols { }
  counter between_ports { }
  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    iifname "${tapPrefix}*" goto from_tap
  }
  # A TAP that is not in the sets (a template, a machine that is being made) sends nothing at all.
  chain from_tap {
    iifname . ether saddr != @cards counter name forged_mac drop
    ether type arp goto arp_from_tap
    ether type ip iifname . ether saddr . ip saddr @sources accept
    ether type ip counter name forged_ip drop
    counter name other_protocols drop
  }
  chain arp_from_tap {
    arp operation { request, reply } iifname . arp saddr ether . arp saddr ip @sources accept
    arp operation request arp saddr ip 0.0.0.0 iifname . arp saddr ether @cards accept
    counter name forged_arp drop
  }
  # Ports are isolated already; this holds even where somebody has changed that.
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname "${tapPrefix}*" counter name between_ports drop
    oifname "${tapPrefix}*" counter name between_ports drop
  }
}`;

function inetTable({ bridge, subnet, gateway }: SkeletonOptions): string {
  const br = `"${bridge}"`;
  return `
table inet coppice {
  set private { type ipv4_addr; flags interval; elements = { ${privateRanges.join(', ')} }; }

  # Traffic of each machine.
  set sent { type ipv4_addr; counter; }
  set received { type ipv4_addr; counter; }
  set refused { type ipv4_addr; counter; }
  map upload { type ipv4_addr : limit; }
  map download { type ipv4_addr : limit; }

  # A connection belongs to the policy whose revision it carries as its mark; those of earlier policies are judged anew.
  map revision { type ipv4_addr : mark; }
  set current { type ipv4_addr . mark; }

  # What machines may reach: machine, where, ports.
  set everywhere { type ipv4_addr; }
  set public_ports { type ipv4_addr . inet_service; flags interval; }
  set cidrs { type ipv4_addr . ipv4_addr; flags interval; }
  set cidr_ports { type ipv4_addr . ipv4_addr . inet_service; flags interval; }
  set names { type ipv4_addr . ipv4_addr; flags timeout; }
  set name_ports { type ipv4_addr . ipv4_addr . inet_service; flags interval, timeout; }

  # Who reaches machines.
  set pairs { type ipv4_addr . ipv4_addr; }
  set open { type ipv4_addr; }
  set inbound { type ipv4_addr . inet_service; }
  # Machine and port of every forward: redirected connections end when theirs has been taken back.
  set forwarded { type ipv4_addr . inet_service; }
  map forwards { type ipv4_addr . inet_service : ipv4_addr . inet_service; }
  map forwards_any { type inet_service : ipv4_addr . inet_service; }
  # The same for machines, without those of the loopback.
  set published { type ipv4_addr . inet_service; }
  set published_any { type inet_service; }

  # What they tried in vain. Of destinations not seen before only some are noted, so that no machine can fill the sets.
  set denied { type ipv4_addr . ipv4_addr . inet_proto . inet_service; size 262144; flags dynamic, timeout; timeout 1h; counter; }
  set denied_other { type ipv4_addr . ipv4_addr . inet_proto; size 262144; flags dynamic, timeout; timeout 1h; counter; }
  set noting { type ipv4_addr; size 65536; flags dynamic, timeout; timeout 2m; }
  set pinging { type ipv4_addr; size 65536; flags dynamic, timeout; timeout 1m; }

  chain prerouting_raw {
    type filter hook prerouting priority raw; policy accept;
    iifname ${br} goto entering
    # Nobody beyond the bridge, and the host itself, has an address of a machine.
    iifname != "lo" ip saddr ${subnet} drop
  }
  chain entering {
    meta nfproto != ipv4 drop
    # The bridge routes 127.0.0.0/8 for the sake of forwards; the host's own loopback stays its own.
    ip saddr 127.0.0.0/8 drop
    ip daddr 127.0.0.0/8 goto deny
    limit name ip saddr map @upload drop
    ip saddr @sent accept
  }
  chain postrouting_last {
    type filter hook postrouting priority 300; policy accept;
    oifname != ${br} accept
    limit name ip daddr map @download drop
    ip daddr @received accept
  }

  chain prerouting_nat {
    type nat hook prerouting priority dstnat; policy accept;
    # Machines are left to the daemon's own sockets (see to_host): where br_netfilter is on, the kernel would take what
    # leads from the bridge to the bridge for a frame between two ports, and those are isolated.
    iifname ${br} accept
    # Addressed to a loopback from outside: never ours to redirect, although routing would only drop it later.
    meta nfproto ipv4 ip daddr != 127.0.0.0/8 fib daddr type local jump to_forward
  }
  chain output_nat {
    type nat hook output priority -100; policy accept;
    meta nfproto ipv4 fib daddr type local jump to_forward
  }
  chain to_forward {
    dnat ip to ip daddr . tcp dport map @forwards
    dnat ip to tcp dport map @forwards_any
  }
  chain postrouting_nat {
    type nat hook postrouting priority srcnat; policy accept;
    oifname ${br} ip saddr 127.0.0.0/8 masquerade
    iifname ${br} oifname != ${br} masquerade
  }

  # The host's own ports are closed to machines, on every address it has; forwards that others can use are not.
  chain input {
    type filter hook input priority filter; policy accept;
    iifname ${br} goto to_host
  }
  chain to_host {
    ct state established,related accept
    ip daddr ${gateway} udp dport 53 accept
    ip daddr ${gateway} tcp dport 53 accept
    ip daddr ${gateway} icmp type echo-request goto ping
    tcp dport @published_any accept
    ip daddr . tcp dport @published accept
    goto deny
  }
  chain ping {
    update @pinging { ip saddr limit rate over 20/second burst 20 packets } drop
    accept
  }
  # Machines whose way leads over the gateway are not to be sent elsewhere.
  chain output {
    type filter hook output priority filter; policy accept;
    oifname ${br} icmp type redirect drop
    # Not by device: here it is still the one from before the redirection.
    ip daddr ${subnet} ct direction original ct status dnat ip daddr . tcp dport != @forwarded drop
  }

  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname ${br} oifname ${br} goto between_machines
    iifname ${br} goto from_machine
    oifname ${br} goto to_machine
  }
  # Stateless, so that what is no longer allowed ends with the next packet.
  chain between_machines {
    meta nfproto != ipv4 drop
    ct state invalid drop
    ip saddr . ip daddr @pairs accept
    ip saddr @open ip daddr @open accept
    ct direction original ip daddr . tcp dport @inbound accept
    ct direction reply ip saddr . tcp sport @inbound accept
    goto deny
  }
  chain from_machine {
    meta nfproto != ipv4 drop
    ct state invalid drop
    ct direction reply ct status dnat ip saddr . tcp sport @forwarded accept
    ct direction reply drop
    # Somebody else's redirection of an address of this host, a published port of a container for example.
    ct status dnat goto deny
    ct original ip saddr . ct mark @current accept
${judge({ machine: 'ip saddr', other: 'ip daddr', port: 'th dport', refuse: 'goto deny', admit: 'admit_from' })}
  }
  chain admit_from {
    ct mark set ip saddr map @revision accept
    drop
  }
  chain to_machine {
    meta nfproto != ipv4 drop
    ct state invalid drop
    ct direction original ct status dnat ip daddr . tcp dport @forwarded accept
    ct direction original drop
    ct original ip saddr . ct mark @current accept
${judge({ machine: 'ip daddr', other: 'ip saddr', port: 'th sport', refuse: 'drop', admit: 'admit_to' })}
  }
  chain admit_to {
    ct mark set ip daddr map @revision accept
    drop
  }

  chain deny {
    ip saddr @refused
    # Answers to what has been allowed until now are no attempt of this machine.
    ct direction reply drop
    meta l4proto { tcp, udp } goto deny_port
    # Both the look-up and the update count.
    ip saddr . ip daddr . meta l4proto @denied_other update @denied_other { ip saddr . ip daddr . meta l4proto counter } drop
    update @noting { ip saddr limit rate over 2/second burst 128 packets } drop
    update @denied_other { ip saddr . ip daddr . meta l4proto counter } drop
    drop
  }
  chain deny_port {
    ip saddr . ip daddr . meta l4proto . th dport @denied update @denied { ip saddr . ip daddr . meta l4proto . th dport counter } drop
    update @noting { ip saddr limit rate over 2/second burst 128 packets } drop
    update @denied { ip saddr . ip daddr . meta l4proto . th dport counter } drop
    drop
  }
}`;
}

interface Judged {
  readonly machine: string;
  readonly other: string;
  readonly port: string;
  readonly refuse: string;
  readonly admit: string;
}

/**
 * The policy, for a connection that a machine has opened, seen from one of its directions: an answer may be the first
 * packet after a change of the policy.
 */
function judge({ machine, other, port, refuse, admit }: Judged): string {
  const closed = nameServicePorts.join(', ');
  return [
    `meta l4proto { tcp, udp } ${port} { ${closed} } ${refuse}`,
    `meta l4proto != { tcp, udp, icmp } ${refuse}`,
    `meta l4proto icmp icmp type != { echo-request, echo-reply } ${refuse}`,
    `${machine} @everywhere ${other} != @private goto ${admit}`,
    `${machine} . ${other} @cidrs goto ${admit}`,
    `${machine} . ${other} @names goto ${admit}`,
    `meta l4proto icmp ${refuse}`,
    `${machine} . ${other} . ${port} @cidr_ports goto ${admit}`,
    `${machine} . ${other} . ${port} @name_ports goto ${admit}`,
    `${other} != @private ${machine} . ${port} @public_ports goto ${admit}`,
    refuse,
  ]
    .map((rule) => `    ${rule}`)
    .join('\n');
}
