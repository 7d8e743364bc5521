package mesh

// Reserved says whether a port is one that the sidecars keep for themselves:
// captured connections arrive on 15001 and 15006. A service port of that number
// has no place beside them, so sidecars don't route it.
func Reserved(port uint32) bool { return port == 15001 || port == 15006 }

func noteReserved(port uint32, field string, f *findings) {
	if Reserved(port) {
		f.note(field, "give the service another port", "port %d is the sidecars' own: they don't route it", port)
	}
}
