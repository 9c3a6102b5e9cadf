import * as z from 'zod';
import { imageName } from '../names.ts';
import { defineOperation } from '../operation.ts';

export const imageInfo = z.object({
  name: z.string(),
  digest: z.string().describe('sha256:<hex> of the stored file'),
  size_bytes: z.number().describe('Space it takes on the host'),
  virtual_bytes: z.number().describe('Size of the disk a machine sees'),
  created_at: z.iso.datetime({ offset: true }),
  is_default: z.boolean(),
  provenance: z
    .record(z.string(), z.unknown())
    .describe('Where it came from: recipe and suite, or the imported source'),
  workspaces: z.int().describe('Machines that are based on it'),
});
export type ImageInfo = z.infer<typeof imageInfo>;

export const imageList = defineOperation({
  name: 'image_list',
  summary: 'List the images machines can start from',
  input: z.object({}),
  output: z.object({
    images: z.array(imageInfo),
    recipes: z
      .array(z.object({ name: z.string(), description: z.string() }))
      .describe('Recipes that can be built and have not been'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'image list' },
});

export const imageBuild = defineOperation({
  name: 'image_build',
  summary: 'Build an image from its recipe',
  input: z.object({
    name: imageName.describe('Name of the recipe'),
    rebuild: z.boolean().optional().describe('Build again although a build is cached'),
  }),
  output: imageInfo,
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'prerequisite_missing', 'no_space', 'command_failed'],
  progress: true,
  cli: { command: 'image build', positionals: ['name'] },
});

export const imageImport = defineOperation({
  name: 'image_import',
  summary: 'Make an image from a rootfs tar, OCI layout or archive, qcow2 or raw disk',
  input: z.object({
    source: z
      .string()
      .min(1)
      .max(4096)
      .refine((path) => path.startsWith('/') && !path.includes('\0'), 'must be an absolute path')
      .describe('File or directory on the host'),
    name: imageName.describe('Name of the new image'),
  }),
  output: imageInfo,
  risk: 'write',
  retry: 'safe',
  errors: ['name_taken', 'image_invalid', 'image_corrupt', 'no_space', 'prerequisite_missing'],
  progress: true,
  cli: { command: 'image import', positionals: ['source', 'name'] },
});

export const imageRemove = defineOperation({
  name: 'image_remove',
  summary: 'Delete an image that no machine is based on',
  input: z.object({ name: imageName.describe('Image') }),
  output: z.object({ name: z.string() }),
  risk: 'destructive',
  retry: 'safe',
  errors: ['not_found', 'image_in_use'],
  cli: { command: 'image remove', aliases: ['image rm'], positionals: ['name'] },
});
