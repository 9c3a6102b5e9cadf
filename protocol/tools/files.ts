/** Tools that read and change files of a workspace. */
import * as z from 'zod';
import { fileEdit, fileEntry, fileList, fileRead, fileWrite } from '../operations/file.ts';
import { fileTransfer } from '../operations/transfer.ts';
import { defineTool } from '../tool.ts';

export const fileWriteTool = defineTool({
  name: 'file_write',
  title: 'Write a file',
  description:
    'Write a text file in a workspace, replacing what is there; parent directories are created. To change a part of a file use file_edit.',
  input: fileWrite.input,
  output: fileWrite.output,
  text: ({ path }) => `File written: ${path}`,
  toolset: 'core',
  risk: 'write',
  retry: 'safe',
  failure: 'invalid_request',
  run: (input, { call }) => call('file_write', input),
});

export const fileReadTool = defineTool({
  name: 'file_read',
  title: 'Read a file',
  description:
    'Read a text file of a workspace, whole or from offset on for limit bytes. For binary data use file_transfer.',
  input: fileRead.input,
  output: fileRead.output,
  text: ({ content }) => content,
  toolset: 'core',
  risk: 'read',
  retry: 'safe',
  failure: 'invalid_request',
  run: (input, { call }) => call('file_read', input),
});

export const fileEditTool = defineTool({
  name: 'file_edit',
  title: 'Edit a file',
  description:
    'Replace exact text in a file of a workspace: the first occurrence, or every one with replace_all. Read the file first.',
  input: fileEdit.input,
  output: fileEdit.output,
  text: ({ path }) => `File edited: ${path}`,
  toolset: 'full',
  risk: 'write',
  retry: 'unsafe',
  failure: 'invalid_request',
  run: (input, { call }) => call('file_edit', input),
});

const { name, kind, size, permissions, modified } = fileEntry.shape;

export const fileListTool = defineTool({
  name: 'file_list',
  title: 'List a directory',
  description:
    'List a directory of a workspace by name, hidden files included, without descending.',
  input: fileList.input,
  output: z.object({
    entries: z.array(z.object({ name, kind, size, permissions, modified })),
  }),
  text: ({ entries }) => JSON.stringify(entries),
  toolset: 'core',
  risk: 'read',
  retry: 'safe',
  failure: 'invalid_request',
  run: async (input, { call }) => ({ entries: await call('file_list', input) }),
});

export const fileTransferTool = defineTool({
  name: 'file_transfer',
  title: 'Copy a file to or from this host',
  description:
    'Copy a file of any kind and size between a workspace and the transfer directory of this host.',
  input: fileTransfer.input,
  output: fileTransfer.output,
  text: ({ direction, host_path, guest_path, bytes }) =>
    direction === 'upload'
      ? `Uploaded ${host_path} -> ${guest_path} (${String(bytes)} bytes)`
      : `Downloaded ${guest_path} -> ${host_path} (${String(bytes)} bytes)`,
  toolset: 'full',
  risk: 'write',
  retry: 'safe',
  failure: 'internal_error',
  // A file that cannot be sent, or lies elsewhere, was the wrong one to name.
  failureOf: ({ direction }, { details = {} }) =>
    details['side'] === 'host' && (direction === 'upload' || details['transfer_dir'] !== undefined)
      ? 'invalid_request'
      : 'internal_error',
  run: (input, { call }) => call('file_transfer', input),
});
