/** Where the host end of a guest channel is. */
export type TransportAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'vsock'; readonly cid: number; readonly port: number };
