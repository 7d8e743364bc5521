package main

import (
	"context"
	"fmt"

	"github.com/ensign-mesh/ensign/test/lab/load"
)

// split: 1,000 requests, of which about a tenth goes to v2. The bounds are more
// than four standard deviations wide.
func split(ctx context.Context, s *scene) (string, error) {
	r := s.in(ctx, "storefront", "bookshop", "load", "--url", "http://reviews:9080/reviews/1", "--count", "1000", "--workers", "8")
	var report load.Report
	if err := decode(r, &report); err != nil {
		return "", err
	}
	v1, v2 := report.Names["reviews v1"], report.Names["reviews v2"]
	if v1+v2 != 1000 || v2 < 60 || v2 > 140 {
		return "", fmt.Errorf("v1 answered %d and v2 %d of 1,000", v1, v2)
	}
	asked := s.in(ctx, "storefront", "bookshop", "load", "--url", "http://reviews:9080/reviews/1", "--header", "x-reader=curious", "--count", "20")
	if err := decode(asked, &report); err != nil {
		return "", err
	}
	if report.Names["reviews v2"] != 20 {
		return "", fmt.Errorf("with the header, v2 answered %d of 20", report.Names["reviews v2"])
	}
	return fmt.Sprintf("v1 answered %d, v2 %d; who asks for v2 by header always gets it", v1, v2), nil
}
