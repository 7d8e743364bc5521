/*
 * A PKCS#11 module that is another one, and stands still while a file exists.
 * ENSIGN_TEST_MODULE names the other one, ENSIGN_TEST_HANG the file.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

/* All functions of a list take at most eight words; the first field is the version. */
enum { functions = 68, open_session = 12, find_objects_init = 26, sign_init = 42, generate_key_pair = 59 };
typedef unsigned long (*function)(long, long, long, long, long, long, long, long);
struct list { unsigned char version[2]; function f[functions]; };

static struct list hanging, *real;

static void stand_still(void)
{
	const char *file = getenv("ENSIGN_TEST_HANG");
	while (file && access(file, F_OK) == 0)
		usleep(10000);
}

#define HANGING(name, n) \
	static unsigned long name(long a, long b, long c, long d, long e, long f, long g, long h) \
	{ stand_still(); return real->f[n](a, b, c, d, e, f, g, h); }
HANGING(hang_open, open_session)
HANGING(hang_find, find_objects_init)
HANGING(hang_sign, sign_init)
HANGING(hang_make, generate_key_pair)

unsigned long C_GetFunctionList(struct list **out)
{
	void *module = dlopen(getenv("ENSIGN_TEST_MODULE"), RTLD_NOW);
	unsigned long (*get)(struct list **);
	if (!module || !(get = dlsym(module, "C_GetFunctionList")))
		return 5; /* CKR_GENERAL_ERROR */
	unsigned long failed = get(&real);
	if (failed)
		return failed;
	hanging = *real;
	hanging.f[open_session] = hang_open;
	hanging.f[find_objects_init] = hang_find;
	hanging.f[sign_init] = hang_sign;
	hanging.f[generate_key_pair] = hang_make;
	*out = &hanging;
	return 0;
}
