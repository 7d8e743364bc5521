// Package load sends HTTP/1.1 requests and tells the truth about each: it never
// tries a request again, which net/http does in silence on a kept connection,
// and it counts every answer and every error.
//
//	report := load.Run(ctx, load.Plan{URL: "http://reviews:9080/reviews/1", Count: 1000, Workers: 4})
//	fmt.Println(report.OK, report.Failures)
package load
