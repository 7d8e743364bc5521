// Package agent is the process beside each Envoy.
//
// [Run] takes a [Config] and
//
//  1. makes a key in memory and gets an SVID for it from the control plane,
//  2. serves it to Envoy over DIR/sds.sock (package sds),
//  3. relays Envoy's ADS stream from DIR/xds.sock to the control plane,
//  4. writes DIR/envoy.yaml and runs Envoy with it,
//  5. reports upstream what Envoy has acknowledged and what it shows, and fetches
//     pages of Envoy's admin port when the control plane asks,
//  6. obeys who is cut off: ends their live connections (package connections, which
//     Envoy tells of them on DIR/log.sock) and puts CRLs into ROOTCA (package sds),
//  7. follows what is to be trusted, apart from the SVID, and renews that when told,
//  8. remembers the control plane's ledger, and tells if it is not the one of before.
//
// # Who is cut off
//
// The control plane says it first on every stream, and again with each change. It is
// obeyed as it comes, then written to DIR/cutoff; only then is it reported as obeyed,
// at once. So an agent that is killed, and starts while the control plane is away,
// still obeys all that it ever called obeyed. The revision that is reported never
// goes back, unless the control plane itself wants a lower one, which is obeyed and
// logged: its ledger may have been rolled back. CRLs are the exception: when a set
// had to be left out (see package sds), the revision of the CRLs is 0 until another
// is taken. A file that is spoilt, or that another user could have written, is
// refused and logged; the next word of the control plane replaces it.
//
// # The roots
//
// The control plane says what is to be trusted behind the first CutOff of every
// stream, and again with each change. It becomes ROOTCA at once (package sds has the
// rules) and is written to DIR/roots, before Envoy hears of it; the report says when
// Envoy has acknowledged it, and by which word (its sequence), or why it was not taken,
// and comes also where Envoy had it already: a gate counts no word of another step. Roots
// that could not be written (a full disk) are in force all the same, but the report does
// not name their word, so that no gate counts them: the next agent would believe others.
// Writing them is tried again every two seconds. DIR/roots is bound to the roots
// of the bundle file: while that has the same ones, DIR/roots stands in its place, so
// that a retired root is not believed again by the next agent. Give the agent another
// bundle file, and that stands alone.
//
// An agent that was away while the root was replaced comes back by itself: behind its
// chain the control plane shows its roots, and links, each the certificate of a root
// signed by the root before. From a root that it believes the agent walks over them to
// the one that the server lives under (see [reach]). It believes that one for this
// connection, and for good when the control plane then says so. An issuer's signature
// counts for nothing there. Where no link leads, as after a root was compromised, the
// error says which file to replace by what.
//
// # The ledger
//
// With each stored report the control plane shows the newest checkpoint and proves
// that the ledger holds all that it held at the one before. DIR/ledger.checkpoint
// keeps the newest, and the ledger's key from the first. One that is smaller, has
// another root or another key is a fork: it is kept in that file, logged, counted
// (ensign_agent_ledger_forked) and reported until somebody removes the file. The
// agent goes on serving.
//
// # Which proof, when
//
// Without a live SVID the agent proves itself by its token: on the certificate RPC,
// and, if that brings none within a second, on the stream of its reports. So an agent
// that starts while its identity is in quarantine, and gets no certificate, obeys and
// reports all the same; Envoy's ADS stream waits for an SVID. The token file is read
// again for each call. It is sent after the
// TLS handshake has verified the server against the roots that are believed at that
// moment; there is no way to turn that off. With a live SVID the agent shows it as
// client certificate: for renewals, for the relay and for reports. Only if the control plane refuses or cannot be reached that way is the
// token tried again. An expired SVID is never shown.
//
// When the control plane refuses an SVID that still lives, as a proof of the relay's
// or the reporter's stream, the agent gets another at once, if need be by the token:
// after a ledger was restored from before that SVID, or when renewals by SVID alone
// have gone on for too long. So keep the token file fresh, as a projected volume does.
//
// The control plane ends a stream when its proof expires. So some time after a
// renewal, long before that, the agent ends the streams of the old SVID itself;
// Envoy connects again at once, names the versions that it has, and gets only
// what it lacks.
//
// # Sockets and ports
//
// The three sockets have mode 0600 and take peers of the agent's own user only. Health
// (15021, /healthz/ready) and metrics (15020: /metrics is the agent's own,
// /stats/prometheus is Envoy's) listen on all addresses, as Istio's do, because
// kubelet and Prometheus call them from outside; neither shows a secret. Envoy's
// admin port is bound to 127.0.0.1 (15000), and only read-only pages of it are
// passed on.
//
// # When the agent is killed
//
// Envoy is not tied to the agent's life: kill -9 of the agent leaves Envoy, and the
// traffic, running on the certificate and configuration that it has. DIR/envoy.pid
// names that Envoy (process, start time, boot, binary and a hash of its command and
// bootstrap). The next agent of the same folder takes it over if all of that still
// fits what it would start itself; otherwise it stops that Envoy first, so that the
// ports are free. A process that merely has the same number is left alone. In
// Kubernetes the question does not arise: the container ends with the agent. The
// price is that whoever kills an agent by force, and does not start another, must
// stop Envoy too.
package agent
