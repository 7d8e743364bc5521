// Package vault is a real Vault, wherever it runs: with TLS, its storage in files and one
// key share. Start and Kill are its machine's power, Seal and Unseal what an operator does.
//
//	v, err := vault.New(vault.Config{Binary: path, Dir: dir, IP: ip, Port: 8200, ClusterPort: 8201, Start: start})
//	err = v.Begin(ctx)                         // started, initialised and unsealed
//	err = v.Setup(ctx, argv, "TTL=604500s")    // deploy/vault/setup.sh, as an administrator runs it
//	token, err := v.NewToken(ctx, "1h", "ensign-daily")
//
// test/lab has one in a namespace of its mesh, test/lab/vaultd one for the tests of a
// package. A Vault's own methods are for one goroutine at a time.
package vault
