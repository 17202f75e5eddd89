/*
 * libyaml's events say where each value begins and ends; between them the text
 * is copied as it is. What goes leaves its line breaks, what comes fits on the
 * line where it stands: hence flow style, {name: value}.
 */
#include "client/cli/throwaway_conf.h"

#include "proto/cleanup.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

static const char any_caller[] = "{users: any}";
/* One signer could not be lost without a gap; more than two only take longer to start. */
static const char signers[] = "2", verifiers[] = "1";

/* What a section has of ours; `json` an object of these. */
struct section { const char *name; const char *const *settings; char *json; bool found; };
static const char *const daemon_settings[] = { "socket", "admin_socket", "admin", "verifiers", NULL };
static const char *const token_settings[] = { "module", "uri", "pin_file", "pin_credential", "signers", NULL };

/*
 * `create: no`: keys are made by one hand, ours, before the daemon is handed on; two would give a ring two. Those that
 * a ring names are on another token, and would hold their places in vain.
 */
static const struct { const char *section, *setting, *value; } changed[] = {
    { "rings", "create", "no" },
    { "rings", "keys", "[]" },
    { "profiles", "sign", any_caller },
    { "profiles", "verify", any_caller },
};

struct edit {
    yaml_parser_t parser;
    yaml_event_t event;              /* the last one read */
    const char *text;
    size_t len, at;                  /* bytes; copied or left out so far */
    size_t mark, mark_byte;          /* libyaml counts characters: one, and its place in bytes */
    const char *file;
    struct buf *out;
    struct err *e;
    bool failed;
};

struct entry { char name[32]; size_t begin; };

static bool fail(struct edit *ed, size_t line, const char *what)
{
    ed->failed = true;
    return err_set(ed->e, ERR_CONFIG_INVALID, "%s:%zu: %s", ed->file, line, what);
}

/* --- reading ---------------------------------------------------------------------------------------- */

static size_t byte_of(struct edit *ed, const yaml_mark_t *m)
{
    if (m->index < ed->mark)
        ed->mark = ed->mark_byte = 0;
    while (ed->mark < m->index && ed->mark_byte < ed->len) {
        do
            ed->mark_byte++;
        while (ed->mark_byte < ed->len && ((unsigned char)ed->text[ed->mark_byte] & 0xc0) == 0x80);
        ed->mark++;
    }
    return ed->mark_byte;
}

static bool next(struct edit *ed)
{
    char what[160];

    yaml_event_delete(&ed->event);
    if (yaml_parser_parse(&ed->parser, &ed->event))
        return true;
    snprintf(what, sizeof what, "no YAML at column %zu: %s", ed->parser.problem_mark.column + 1,
             ed->parser.problem ? ed->parser.problem : "unreadable");
    return fail(ed, ed->parser.problem_mark.line + 1, what);
}

static bool begins(const yaml_event_t *v)
{
    return v->type == YAML_MAPPING_START_EVENT || v->type == YAML_SEQUENCE_START_EVENT;
}

static bool ends(const yaml_event_t *v)
{
    return v->type == YAML_MAPPING_END_EVENT || v->type == YAML_SEQUENCE_END_EVENT;
}

/* A block's end is told where the next thing begins; only what is written has an end of its own. */
static void note_end(struct edit *ed, size_t *end)
{
    size_t at = byte_of(ed, &ed->event.end_mark);

    if (!ends(&ed->event) || (at > 0 && (ed->text[at - 1] == '}' || ed->text[at - 1] == ']')))
        *end = at;
}

/* Reads the rest of the value that has begun. */
static bool skip(struct edit *ed, size_t *out_end)
{
    size_t depth = begins(&ed->event);

    note_end(ed, out_end);
    while (depth) {
        if (!next(ed))
            return false;
        depth += begins(&ed->event);
        depth -= ends(&ed->event);
        note_end(ed, out_end);
    }
    return true;
}

/* The map's next name; its value has begun then. False at the map's end, too. */
static bool next_entry(struct edit *ed, struct entry *out)
{
    size_t end;

    if (!next(ed) || ed->event.type == YAML_MAPPING_END_EVENT)
        return false;
    out->begin = byte_of(ed, &ed->event.start_mark);
    snprintf(out->name, sizeof out->name, "%s",
             ed->event.type == YAML_SCALAR_EVENT ? (const char *)ed->event.data.scalar.value : "");
    return skip(ed, &end) && next(ed);
}

/* --- writing ------------------------------------------------------------------------------------------ */

static bool put(struct edit *ed, const char *bytes, size_t len)
{
    if (!buf_append(ed->out, bytes, len))
        return fail(ed, 1, "too long for a configuration");
    return true;
}

static bool put_str(struct edit *ed, const char *text)
{
    return put(ed, text, strlen(text));
}

static bool copy_to(struct edit *ed, size_t end)
{
    size_t begin = ed->at;

    ed->at = end;
    return put(ed, ed->text + begin, end - begin);
}

static bool leave_out_to(struct edit *ed, size_t end)
{
    for (; ed->at < end; ed->at++)
        if ((ed->text[ed->at] == '\n' || ed->text[ed->at] == '\r') && !put(ed, ed->text + ed->at, 1))
            return false;
    return true;
}

/* In the place of the value that has begun. After a colon there must be a blank. */
static bool replace(struct edit *ed, const char *with)
{
    size_t begin = byte_of(ed, &ed->event.start_mark), end = begin;

    return skip(ed, &end) && copy_to(ed, begin) && put_str(ed, " ") && put_str(ed, with) && leave_out_to(ed, end);
}

/* --- sections --------------------------------------------------------------------------------------------- */

static bool is_ours(const struct section *s, const char *name)
{
    for (size_t i = 0; s->settings[i]; i++)
        if (strcmp(s->settings[i], name) == 0)
            return true;
    return false;
}

/* Ours, then what else the user's has, each on its own line. */
static bool merge(struct edit *ed, struct section *s)
{
    size_t begin = byte_of(ed, &ed->event.start_mark), end = begin;
    struct entry at;

    s->found = true;
    if (ed->event.type != YAML_MAPPING_START_EVENT)
        return replace(ed, s->json);
    if (!copy_to(ed, begin) || !put_str(ed, " ") || !put(ed, s->json, strlen(s->json) - 1))
        return false;
    while (next_entry(ed, &at)) {
        if (!skip(ed, &end))
            return false;
        if (!is_ours(s, at.name) && (!leave_out_to(ed, at.begin) || !put_str(ed, ", ") || !copy_to(ed, end)))
            return false;
    }
    if (ed->failed)
        return false;
    note_end(ed, &end);
    return leave_out_to(ed, end) && put_str(ed, "}");
}

static bool change(struct edit *ed, const char *section, const char *setting)
{
    size_t end;

    for (size_t i = 0; i < ARRAY_LEN(changed); i++)
        if (strcmp(changed[i].section, section) == 0 && strcmp(changed[i].setting, setting) == 0)
            return replace(ed, changed[i].value);
    return skip(ed, &end);
}

/* A section of named maps: rings, profiles. */
static bool change_all(struct edit *ed, const char *section)
{
    struct entry one, setting;
    size_t end;

    if (ed->event.type != YAML_MAPPING_START_EVENT)
        return skip(ed, &end);
    while (next_entry(ed, &one)) {
        if (ed->event.type != YAML_MAPPING_START_EVENT) {
            if (!skip(ed, &end))
                return false;
            continue;
        }
        while (next_entry(ed, &setting))
            if (!change(ed, section, setting.name))
                return false;
        if (ed->failed)
            return false;
    }
    return !ed->failed;
}

static bool change_section(struct edit *ed, const char *name, struct section *sections, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(sections[i].name, name) == 0)
            return merge(ed, &sections[i]);
    return change_all(ed, name);
}

static bool begin_root(struct edit *ed)
{
    do
        if (!next(ed))
            return false;
    while (ed->event.type == YAML_STREAM_START_EVENT || ed->event.type == YAML_DOCUMENT_START_EVENT);
    size_t line = ed->event.start_mark.line + 1;
    if (ed->event.type == YAML_STREAM_END_EVENT)
        return fail(ed, 1, "the file is empty: see signetd.conf(5) for what it must say");
    if (ed->event.type != YAML_MAPPING_START_EVENT)
        return fail(ed, line, "a configuration is a map: daemon, token, rings, profiles");
    if (ed->event.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE)
        return fail(ed, line, "the whole file stands in braces: leave them out, and begin each section on a line");
    return true;
}

static bool edit_all(struct edit *ed, struct section *sections, size_t n)
{
    struct entry at;

    if (!begin_root(ed))
        return false;
    size_t indent = ed->event.start_mark.column;
    while (next_entry(ed, &at))
        if (!change_section(ed, at.name, sections, n))
            return false;
    if (ed->failed || !copy_to(ed, byte_of(ed, &ed->event.start_mark)))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!sections[i].found &&
            !buf_printf(ed->out, "\n%*s%s: %s\n", (int)indent, "", sections[i].name, sections[i].json))
            return fail(ed, 1, "too long for a configuration");
    return copy_to(ed, ed->len);
}

static char *dump(json_t *taken)
{
    char *text = taken ? json_dumps(taken, 0) : NULL;     /* JSON is YAML in flow style, and quotes any path */

    json_decref(taken);
    return text;
}

bool throwaway_conf(const char *text, size_t len, const char *file, const struct throwaway_places *p, struct buf *out,
                    struct err *e)
{
    CLEANUP(freep) char *in_daemon = dump(json_pack("{s:s, s:s, s:{s:[i]}, s:s}", "socket", p->socket,
                                                    "admin_socket", p->admin_socket, "admin", "users", (int)p->uid,
                                                    "verifiers", verifiers));
    CLEANUP(freep) char *in_token = dump(json_pack("{s:s, s:s, s:s, s:s}", "module", p->module, "uri", p->uri,
                                                   "pin_file", p->pin_file, "signers", signers));
    struct section sections[] = { { "daemon", daemon_settings, in_daemon, false },
                                  { "token", token_settings, in_token, false } };
    bool mark = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0;      /* an editor's, which libyaml does not count */
    struct edit ed = { .text = mark ? text + 3 : text, .len = mark ? len - 3 : len, .file = file, .out = out, .e = e };

    if (!in_daemon || !in_token || !yaml_parser_initialize(&ed.parser))
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    yaml_parser_set_encoding(&ed.parser, YAML_UTF8_ENCODING);          /* places are bytes of this text */
    yaml_parser_set_input_string(&ed.parser, (const unsigned char *)ed.text, ed.len);
    bool ok = edit_all(&ed, sections, ARRAY_LEN(sections));
    yaml_event_delete(&ed.event);
    yaml_parser_delete(&ed.parser);
    return ok;
}
