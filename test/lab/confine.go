package lab

import (
	"strconv"

	"github.com/ensign-mesh/ensign/test/lab/netns"
)

// confinement makes pidfd_getfd (438) fail with EPERM for a program and all that it
// starts, as a container's default seccomp profile does.
const confinement = `
import ctypes, os, struct, sys
code = b"".join(struct.pack("HBBI", *line) for line in [
    (0x20, 0, 0, 0), (0x15, 0, 1, 438), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)])
buffer = ctypes.create_string_buffer(code)
program = struct.pack("HxxxxxxQ", 4, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
    sys.exit("confining: errno %d" % ctypes.get_errno())
os.execvp(sys.argv[1], sys.argv[1:])
`

// confined is how argv runs as the proxy's user without pidfd_getfd.
func confined(argv []string) []string {
	id := strconv.Itoa(netns.ProxyUID)
	return append([]string{"python3", "-c", confinement, "setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups", "--"}, argv...)
}
