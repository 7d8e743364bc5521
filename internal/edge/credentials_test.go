package edge

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/ensign-mesh/ensign/identity"
)

func TestCredentialsFromHeaders(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string
		want    string
		bad     bool
	}{
		{name: "none"},
		{name: "bearer", headers: []string{"Bearer abc.def"}, want: "abc.def"},
		{name: "any case (RFC 9110 section 11.1)", headers: []string{"bEARER abc"}, want: "abc"},
		{name: "two", headers: []string{"Bearer a", "Bearer b"}, bad: true},
		{name: "another scheme", headers: []string{"Basic abc"}, bad: true},
		{name: "no scheme", headers: []string{"abc"}, bad: true},
		{name: "no token", headers: []string{"Bearer "}, bad: true},
		{name: "empty", headers: []string{""}, bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"authorization": c.headers})
			got, err := credentialsFrom(ctx)
			if c.bad != errors.Is(err, identity.ErrMalformed) || got.Token != c.want {
				t.Errorf("%q, %v", got.Token, err)
			}
		})
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add("Bearer abc")
	f.Add("bearer  x y")
	f.Fuzz(func(t *testing.T, header string) {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", header))
		if got, err := credentialsFrom(ctx); err == nil && got.Token == "" {
			t.Errorf("%q was taken for a proof", header)
		}
	})
}
