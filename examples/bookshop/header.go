package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/ensign-mesh/ensign/test/lab/load"
)

// headerFlag reads NAME=VALUE into a plan's headers.
func headerFlag(p *load.Plan) func(string) error {
	return func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return fmt.Errorf("%q: want NAME=VALUE", s)
		}
		if p.Header == nil {
			p.Header = http.Header{}
		}
		p.Header.Add(name, value)
		return nil
	}
}
