// Package runbooks reads docs/runbooks. Its tests play them: each types a runbook's own
// commands, in their order, into one bash on the machine of a real ensignd, with real
// agents, Envoys and, where it is named, a real Vault beside it, and looks at the
// workloads afterwards.
package runbooks
