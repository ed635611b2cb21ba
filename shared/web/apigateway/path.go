package apigateway

import (
	"net/url"
	"strings"
)

// path is the path that routes match, and what stood before it.
//
// A named stage is the first segment of rawPath ("/prod/contacts"), by whatever domain the request came. A caller who came by
// a custom domain has not written it, but the domain's API mapping, of which nothing is in the payload
// (https://github.com/CodeGenieApp/serverless-express/issues/465).
func (a *Adapter) path(e *event) (u *url.URL, prefix string) {
	raw := e.RawPath
	if !strings.HasPrefix(raw, "/") {
		raw = "/" + raw
	}
	if stage := e.RequestContext.Stage; stage != "" && stage != "$default" {
		raw, prefix = cutPrefix(raw, "/"+stage)
	}
	if domain := e.RequestContext.DomainName; domain != "localhost" && !strings.Contains(domain, ".execute-api.") {
		raw, _ = cutPrefix(raw, a.basePath)
		prefix = a.basePath
	}
	return unescape(raw, e.RouteKey, e.PathParameters), prefix
}

// cutPrefix cuts whole segments.
func cutPrefix(path, prefix string) (rest, cut string) {
	rest, found := strings.CutPrefix(path, prefix)
	switch {
	case prefix == "" || !found || rest != "" && rest[0] != '/':
		return path, ""
	case rest == "":
		rest = "/"
	}
	return rest, prefix
}

// cleanPrefix spells a base path "/v1"; "" = none.
func cleanPrefix(path string) string {
	path = strings.Trim(path, "/ ")
	if path == "" {
		return ""
	}
	return (&url.URL{Path: "/" + path}).EscapedPath()
}

// unescape is the path as a URL. API Gateway decodes rawPath, and `sam local` does (captured by others from a live
// one: https://github.com/hotsock/voker/pull/8), though the documentation has it raw, and function URLs, which send the same
// format, keep it raw. So "/contacts/a/b" may be "/contacts/a%2Fb": the route and its path values, which are decoded,
// tell. Without them a path that can be read as encoded is.
func unescape(raw, routeKey string, values map[string]string) *url.URL {
	doubtful := strings.Contains(raw, "%")
	for _, value := range values {
		doubtful = doubtful || strings.Contains(value, "/")
	}
	if doubtful {
		if plain, escaped, ok := fill(routeKey, values); ok && plain == raw {
			return spelt(plain, escaped)
		}
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return &url.URL{Path: raw}
	}
	return spelt(path, raw)
}

// spelt is a path that was spelt so by its sender; net/url keeps the spelling only where it is not its own.
func spelt(path, escaped string) *url.URL {
	u := &url.URL{Path: path}
	if u.EscapedPath() != escaped {
		u.RawPath = escaped
	}
	return u
}

// fill puts the values into a route's path, "GET /contacts/{id}".
func fill(routeKey string, values map[string]string) (plain, escaped string, ok bool) {
	_, template, ok := strings.Cut(routeKey, " /")
	if !ok || len(values) == 0 {
		return "", "", false
	}
	for segment := range strings.SplitSeq(template, "/") {
		value, coded := segment, segment
		if name, isValue := strings.CutPrefix(segment, "{"); isValue {
			name = strings.TrimSuffix(name, "}")
			name, greedy := strings.CutSuffix(name, "+")
			if value, ok = values[name]; !ok {
				return "", "", false
			}
			coded = url.PathEscape(value)
			if greedy {
				coded = (&url.URL{Path: value}).EscapedPath()
			}
		}
		plain, escaped = plain+"/"+value, escaped+"/"+coded
	}
	return plain, escaped, true
}
