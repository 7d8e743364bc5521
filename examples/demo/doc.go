// Command demo tells Ensign's story on this machine, with the bookshop and real
// Envoys. Each step shows the command that a person would type, what it answered
// and whether that is what should be; all of it goes to demo/report.json too.
//
//	make demo            # the story, then everything is removed
//	KEEP=1 make demo     # the mesh stays up, to look around
//	make demo-clean      # remove what KEEP=1 left
//
// The exit code is 0 when every step holds, 1 when one does not.
package main
