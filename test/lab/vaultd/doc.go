// Package vaultd runs a real Vault (test/lab/vault) as a plain process for the tests of a
// package, with whatever a bad day needs.
//
//	v := vaultd.Start(t)                 // initialised and unsealed, gone after the test
//	v.Setup(t, "TTL=604500s")            // deploy/vault/setup.sh, as an administrator runs it
//	token := v.NewToken(t, "1h", "ensign-daily")
//	v.Seal(t); v.Unseal(t); v.Kill(t); v.Run(t)
package vaultd
