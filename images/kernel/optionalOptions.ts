/**
 * Lines of guest.fragment that some kernel version does not know. Everything else in the fragment must take
 * effect, or the build fails and names the line.
 */
export const optionalOptions: Readonly<Record<string, string>> = {
  CONFIG_NETFILTER_XTABLES_LEGACY: 'since 6.17; before, the tables need no separate switch',
  CONFIG_IP_NF_IPTABLES_LEGACY: 'a switch since 6.17; hidden or absent before',
  CONFIG_IP6_NF_IPTABLES_LEGACY: 'a switch since 6.17; hidden or absent before',
  CONFIG_CRYPTO_CRC32C_INTEL: 'until 6.13; later kernels choose the fast CRC by themselves',
  CONFIG_SLUB: 'a choice until 6.7; the only allocator after that',
  CONFIG_CGROUP_CPUACCT: 'cgroup v1 only; may disappear',
  CONFIG_NETFILTER_XT_MATCH_STATE: 'a compatibility alias of conntrack; may disappear',
  CONFIG_PREEMPT_VOLUNTARY: 'replaced by lazy preemption in kernels after 6.13',
  CONFIG_EROFS_FS_ZIP_LZMA: 'since 5.16',
  CONFIG_SECURITY_LANDLOCK: 'since 5.13',
};
