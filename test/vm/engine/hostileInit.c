/* A guest that misbehaves as `coppice.test=` tells it. Compiled by hostileGuest.ts where there is a compiler. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

static char block[65536];

static int openRetrying(const char *path, int flags) {
  for (int i = 0; i < 200; i++) {
    int fd = open(path, flags);
    if (fd >= 0) return fd;
    usleep(10000);
  }
  return -1;
}

/* The agent's port is the one virtio-serial port there is. */
static int openPort(void) {
  char path[300];
  for (int i = 0; i < 200; i++, usleep(10000)) {
    DIR *dir = opendir("/dev");
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
      if (strncmp(entry->d_name, "vport", 5)) continue;
      snprintf(path, sizeof path, "/dev/%s", entry->d_name);
      closedir(dir);
      return open(path, O_RDWR);
    }
    if (dir) closedir(dir);
  }
  return -1;
}

static void writeForever(int fd) {
  for (;;) if (write(fd, block, sizeof block) < 0) usleep(1000);
}

int main(void) {
  char line[4096] = "";
  mkdir("/proc", 0755);
  mkdir("/dev", 0755);
  mount("proc", "/proc", "proc", 0, 0);
  mount("dev", "/dev", "devtmpfs", 0, 0);
  int fd = open("/proc/cmdline", O_RDONLY);
  if (read(fd, line, sizeof line - 1) < 0) return 1;
  memset(block, 'x', sizeof block);
  for (unsigned i = 1023; i < sizeof block; i += 1024) block[i] = '\n';
  puts("hostile guest up");
  fflush(stdout);
  if (strstr(line, "coppice.test=panic")) return 3;
  if (strstr(line, "coppice.test=leave")) reboot(RB_AUTOBOOT);
  if (strstr(line, "coppice.test=console")) writeForever(1);
  if (strstr(line, "coppice.test=garbage")) {
    memset(block, 0xa5, sizeof block);
    writeForever(openPort());
  }
  if (strstr(line, "coppice.test=fill")) {
    int disk = openRetrying("/dev/vda", O_WRONLY | O_SYNC);
    for (int i = 0; i < 16 * 16 && write(disk, block, sizeof block) > 0; i++);
    puts("disk written");
    fflush(stdout);
  }
  for (;;) pause();
}
