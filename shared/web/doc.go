// Package web is the HTTP edge: it turns a request into a typed value, calls a handler that knows no HTTP, and turns
// what comes back, a value or an error, into an answer. It runs on net/http alone, so whatever can make an
// *http.Request (a server, an API Gateway payload, a test) gets the same answers.
//
//	create := web.HandleCommand(func(ctx context.Context, c web.Command[Contact]) (web.Accepted, error) { … })
//	get    := web.HandleQuery(func(ctx context.Context, q ByID) (Contact, error) { … })
//	router := web.Router([]web.Function{
//		{Name: "create-contact", Route: "POST /contacts", Handler: create},
//		{Name: "get-contact", Route: "GET /contacts/{id}", Staff: true, Handler: get},
//	}, web.Log(logger), web.Guard(tokens))
//	err := web.Server(router, logger).Serve(listener)
//
// What it promises:
//
//   - A handler gets only what was read completely and strictly. What cannot be read is 400, with every faulty field;
//     what can be read and is not acceptable (the handler says so) is 422.
//   - Every answer that is no success is RFC 9457 application/problem+json, those of the router (404, 405, redirects) and
//     of a panic too. The text of an error of unknown kind reaches the log, once, and never the caller.
//   - A request costs bounded memory (64 KiB of body, 32 levels of nesting) and bounded time; a slow client holds
//     its own connection and nothing else.
//   - Every answer carries X-Request-Id and is logged in one line without body, path, query string or values.
//   - The same Idempotency-Key with the same body gives a command the same [Command.Seed]; Prefer: wait=N lets a query
//     of one thing wait until it can be read.
//
// What it is not: no authentication, CORS or throttling. On AWS API Gateway does that, on a server of ours package
// gateway, by [Guard], [Around] and [Throttle]. And no TLS.
// Requests that net/http itself refuses before any handler (no Host, broken header lines, headers too large) are
// answered by it in plain text.
package web
