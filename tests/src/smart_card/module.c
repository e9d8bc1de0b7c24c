/* A PKCS#11 module before SoftHSM's: notes each login, and obeys files in /run/cards. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "/run/cards/"

typedef unsigned long number;

/* CK_TOKEN_INFO, as far as it matters. */
struct info {
    char label[32], manufacturer[32], model[16], serial[16];
    number flags, rest[13];
};

/* CK_FUNCTION_LIST: a version, and functions in the order of PKCS#11 2.40. */
enum { GET_TOKEN_INFO = 7, OPEN_SESSION = 13, LOGIN = 19, COUNT = 69 };
static void *real[COUNT], *ours[COUNT];
/* The slot of each session. */
static number slots[1024];

static number token_info(number slot, struct info *info)
{
    char path[128];
    number code = ((number (*)(number, struct info *))real[GET_TOKEN_INFO])(slot, info), more = 0;
    if (code == 0) {
        int length = 32;
        while (length > 0 && info->label[length - 1] == ' ')
            length--;
        snprintf(path, sizeof path, FOLDER "flags-%.*s", length, info->label);
        FILE *file = fopen(path, "r");
        if (file) {
            if (fscanf(file, "%lx", &more) == 1)
                info->flags |= more;
            fclose(file);
        }
    }
    return code;
}

static number open_session(number slot, number flags, void *data, void *notify, number *session)
{
    number code =
        ((number (*)(number, number, void *, void *, number *))real[OPEN_SESSION])(slot, flags, data, notify, session);
    if (code == 0)
        slots[*session % 1024] = slot;
    return code;
}

static number login(number session, number user, char *pin, number length)
{
    struct info info;
    char typed[64];
    FILE *file = fopen(FOLDER "tried", "a");
    if (file && token_info(slots[session % 1024], &info) == 0)
        fprintf(file, "%.*s\n", (int)strcspn(info.label, " "), info.label);
    if (file)
        fclose(file);
    if (access(FOLDER "crash", F_OK) == 0)
        abort();
    while (access(FOLDER "hang", F_OK) == 0)
        pause();
    if (!pin) {
        /* Somebody types on the pad, or nobody does. */
        file = fopen(FOLDER "pad", "r");
        if (!file)
            return 0x50;
        length = fread(pin = typed, 1, sizeof typed, file);
        fclose(file);
    }
    return ((number (*)(number, number, char *, number))real[LOGIN])(session, user, pin, length);
}

number C_GetFunctionList(void **list)
{
    void **theirs;
    void *module = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
    number (*get)(void ***) = module ? (number (*)(void ***))dlsym(module, "C_GetFunctionList") : NULL;
    if (!get || get(&theirs))
        return 5;
    memcpy(real, theirs, sizeof real);
    memcpy(ours, theirs, sizeof ours);
    ours[GET_TOKEN_INFO] = token_info;
    ours[OPEN_SESSION] = open_session;
    ours[LOGIN] = login;
    *list = ours;
    return 0;
}
