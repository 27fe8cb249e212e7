// SPDX-License-Identifier: Apache-2.0
// libarchive, loaded when it is first called: see late_library.h.

#include <cstdarg>
#include <cstdio>

#include <archive.h>
#include <archive_entry.h>

#include "core/base/late_library.h"

namespace {

coldstart::LateLibrary lib("libarchive.so.13", "libarchive13");

}  // namespace

using Entry = archive_entry;

COLDSTART_LATE(lib, archive*, archive_read_new, (), ())
COLDSTART_LATE(lib, int, archive_read_free, (archive * a), (a))
COLDSTART_LATE(lib, int, archive_read_support_format_tar, (archive * a), (a))
COLDSTART_LATE(lib, int, archive_read_support_filter_gzip, (archive * a), (a))
COLDSTART_LATE(lib, int, archive_read_support_filter_zstd, (archive * a), (a))
COLDSTART_LATE(lib, int, archive_read_support_filter_xz, (archive * a), (a))
COLDSTART_LATE(lib, int, archive_read_support_format_raw, (archive * a), (a))
COLDSTART_LATE(lib, int, archive_read_open2,
               (archive * a, void* user, archive_open_callback* open, archive_read_callback* read,
                archive_skip_callback* skip, archive_close_callback* close),
               (a, user, open, read, skip, close))
COLDSTART_LATE(lib, int, archive_filter_code, (archive * a, int number), (a, number))
COLDSTART_LATE(lib, int, archive_read_next_header, (archive * a, Entry** entry), (a, entry))
COLDSTART_LATE(lib, int, archive_read_data_block,
               (archive * a, const void** bytes, size_t* size, la_int64_t* offset), (a, bytes, size, offset))
COLDSTART_LATE(lib, const char*, archive_error_string, (archive * a), (a))

COLDSTART_LATE(lib, const char*, archive_entry_pathname, (Entry * e), (e))
COLDSTART_LATE(lib, const char*, archive_entry_hardlink, (Entry * e), (e))
COLDSTART_LATE(lib, const char*, archive_entry_symlink, (Entry * e), (e))
COLDSTART_LATE(lib, mode_t, archive_entry_mode, (Entry * e), (e))
COLDSTART_LATE(lib, la_int64_t, archive_entry_uid, (Entry * e), (e))
COLDSTART_LATE(lib, la_int64_t, archive_entry_gid, (Entry * e), (e))
COLDSTART_LATE(lib, la_int64_t, archive_entry_size, (Entry * e), (e))
COLDSTART_LATE(lib, time_t, archive_entry_mtime, (Entry * e), (e))
COLDSTART_LATE(lib, long, archive_entry_mtime_nsec, (Entry * e), (e))
COLDSTART_LATE(lib, dev_t, archive_entry_rdevmajor, (Entry * e), (e))
COLDSTART_LATE(lib, dev_t, archive_entry_rdevminor, (Entry * e), (e))
COLDSTART_LATE(lib, int, archive_entry_xattr_reset, (Entry * e), (e))
COLDSTART_LATE(lib, int, archive_entry_xattr_next,
               (Entry * e, const char** name, const void** value, size_t* size), (e, name, value, size))
COLDSTART_LATE(lib, int, archive_entry_acl_reset, (Entry * e, int type), (e, type))
COLDSTART_LATE(lib, int, archive_entry_acl_next,
               (Entry * e, int want, int* type, int* permissions, int* tag, int* id, const char** name),
               (e, want, type, permissions, tag, id, name))
COLDSTART_LATE(lib, int, archive_entry_sparse_reset, (Entry * e), (e))
COLDSTART_LATE(lib, int, archive_entry_sparse_next, (Entry * e, la_int64_t* offset, la_int64_t* length),
               (e, offset, length))

extern "C" void archive_set_error(archive* a, int number, const char* format, ...) {
  static const auto target =
      reinterpret_cast<void (*)(archive*, int, const char*, ...)>(lib.find("archive_set_error"));
  char text[256];
  std::va_list words;
  va_start(words, format);
  std::vsnprintf(text, sizeof text, format, words);
  va_end(words);
  target(a, number, "%s", text);
}
