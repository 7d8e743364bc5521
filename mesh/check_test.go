package mesh

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"
)

func exact(s string) *networking.StringMatch {
	return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: s}}
}

func regex(s string) *networking.StringMatch {
	return &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: s}}
}

// TestCheckMessage: each message alone, and the fields that are refused.
func TestCheckMessage(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		in     proto.Message
		fields []string
	}{
		"good route": {&networking.HTTPRoute{Timeout: durationpb.New(0), Match: []*networking.HTTPMatchRequest{{
			Uri: regex("/v[12]/.*"), Headers: map[string]*networking.StringMatch{"x-user": exact("")}, Port: 80}}}, nil},
		"negative duration":    {&networking.HTTPRoute{Timeout: durationpb.New(-1)}, []string{"timeout"}},
		"short duration":       {&networking.HTTPRoute{Timeout: durationpb.New(time.Microsecond)}, []string{"timeout"}},
		"endless duration":     {&networking.HTTPRoute{Timeout: durationpb.New(11 * 365 * day)}, []string{"timeout"}},
		"broken duration":      {&networking.HTTPRoute{Timeout: &durationpb.Duration{Seconds: math.MaxInt64}}, []string{"timeout"}},
		"regex":                {&networking.HTTPMatchRequest{Uri: regex("(")}, []string{"uri.regex"}},
		"empty regex":          {&networking.HTTPMatchRequest{Uri: regex("")}, []string{"uri.regex"}},
		"long regex":           {&networking.HTTPMatchRequest{Uri: regex(strings.Repeat("a", maxRegex+1))}, []string{"uri.regex"}},
		"look-ahead":           {&networking.HTTPMatchRequest{Uri: regex("a(?=b)")}, []string{"uri.regex"}},
		"class of a long name": {&networking.HTTPMatchRequest{Uri: regex(`/\p{Letter}`)}, []string{"uri.regex"}},
		"large regex":          {&networking.HTTPMatchRequest{Uri: regex(`.{1000}.{600}`)}, []string{"uri.regex"}},
		"fair regex":           {&networking.HTTPMatchRequest{Uri: regex(`.{1000}`)}, nil},
		"empty prefix":         {&networking.HTTPMatchRequest{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{}}}, []string{"uri.prefix"}},
		"header name":          {&networking.HTTPMatchRequest{Headers: map[string]*networking.StringMatch{"a b": exact("x"), "": exact("y")}}, []string{"headers[]", "headers[a b]"}},
		"absent header name":   {&networking.HTTPMatchRequest{WithoutHeaders: map[string]*networking.StringMatch{"a:b": exact("x")}}, []string{"withoutHeaders[a:b]"}},
		"null header":          {&networking.HTTPMatchRequest{Headers: map[string]*networking.StringMatch{"a": nil}}, []string{"headers[a]"}},
		"match port":           {&networking.HTTPMatchRequest{Port: 65536}, []string{"port"}},
		"header operations": {&networking.Headers{Request: &networking.Headers_HeaderOperations{
			Set: map[string]string{"a b": "x"}, Add: map[string]string{"ok": "a\nb"}, Remove: []string{"c\n"}}},
			[]string{"request.add[ok]", "request.remove[0]", "request.remove[c\n]", "request.set[a b]"}},
		"destination port":  {&networking.Destination{Host: "a", Port: &networking.PortSelector{Number: 65536}}, []string{"port.number"}},
		"port of 0":         {&networking.Destination{Host: "a", Port: &networking.PortSelector{}}, []string{"port.number"}},
		"wildcard":          {&networking.Destination{Host: "*.a"}, []string{"host"}},
		"subset":            {&networking.Destination{Host: "a", Subset: "a|b"}, []string{"subset"}},
		"percentage":        {&networking.Percent{Value: 100.1}, []string{"value"}},
		"not a number":      {&networking.Percent{Value: math.NaN()}, []string{"value"}},
		"direct response":   {&networking.HTTPDirectResponse{Status: 99}, []string{"status"}},
		"body of two lines": {&networking.HTTPRoute{DirectResponse: &networking.HTTPDirectResponse{Status: 200, Body: &networking.HTTPBody{Specifier: &networking.HTTPBody_String_{String_: "a\nb"}}}}, nil},
		"retry attempts":    {&networking.HTTPRetry{Attempts: -1}, []string{"attempts"}},
		"rewrite":           {&networking.HTTPRewrite{UriRegexRewrite: &networking.RegexRewrite{Match: "["}}, []string{"uriRegexRewrite.match"}},
		"mirror to nowhere": {&networking.HTTPRoute{Mirrors: []*networking.HTTPMirrorPolicy{{}}}, []string{"mirrors[0].destination"}},
		"route to nowhere":  {&networking.TCPRoute{Route: []*networking.RouteDestination{{}}}, []string{"route[0].destination"}},
		"ejection":          {&networking.OutlierDetection{MaxEjectionPercent: 101, MinHealthPercent: -1}, []string{"maxEjectionPercent", "minHealthPercent"}},
		"pool":              {&networking.ConnectionPoolSettings{Http: &networking.ConnectionPoolSettings_HTTPSettings{MaxRetries: -1}}, []string{"http.maxRetries"}},
		"unknown enum":      {&networking.ClientTLSSettings{Mode: 99}, []string{"mode"}},
		"null in a list":    {&networking.VirtualService{Http: []*networking.HTTPRoute{nil}}, []string{"http[0]"}},
		"control character": {&networking.VirtualService{Hosts: []string{"a\x00"}}, []string{"hosts[0]"}},
		"not UTF-8":         {&networking.VirtualService{Hosts: []string{"\xff"}}, []string{"hosts[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &findings{}
			checkMessage(c.in, "", f)
			var fields []string
			for _, p := range f.list {
				fields = append(fields, strings.TrimPrefix(p.Field, "."))
			}
			slices.Sort(fields)
			if !slices.Equal(fields, c.fields) || f.failed != (len(c.fields) > 0) {
				t.Errorf("refused %q, want %q", fields, c.fields)
			}
		})
	}
}

func TestCheckWeights(t *testing.T) {
	for name, c := range map[string]struct {
		weights []int32
		ok      bool
	}{
		"one without weight": {[]int32{0}, true}, "two": {[]int32{90, 10}, true}, "two without": {[]int32{0, 0}, false},
		"one of two": {[]int32{0, 1}, true}, "negative": {[]int32{-1, 2}, false}, "none": {nil, false},
		"huge": {[]int32{math.MaxInt32, math.MaxInt32}, false},
	} {
		var dests []*networking.HTTPRouteDestination
		for _, w := range c.weights {
			dests = append(dests, &networking.HTTPRouteDestination{Weight: w})
		}
		f := &findings{}
		if checkWeights(dests, "route", f); f.failed == c.ok {
			t.Errorf("%s: %+v", name, f.list)
		}
	}
}
