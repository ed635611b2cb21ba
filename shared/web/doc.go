// Package web is the HTTP edge: it reads a request into a typed value, calls a handler that knows no HTTP, and writes its
// value or error as the answer. It needs net/http alone, so a server, an API Gateway adapter and a test get the same answers.
//
//	create := web.HandleCommand(func(ctx context.Context, c web.Command[Contact]) (web.Accepted, error) { … })
//	get    := web.HandleQuery(func(ctx context.Context, q ByID) (Contact, error) { … })
//	router := web.Router([]web.Function{
//		{Name: "create-contact", Route: "POST /contacts", Handler: create},
//		{Name: "get-contact", Route: "GET /contacts/{id}", Staff: true, Handler: get},
//	}, web.Options{Logger: logger, Guard: tokens})
//	err := web.Server(router, logger).Serve(listener)
//
// It guarantees:
//
//   - A handler receives only input that was read completely and strictly. A body that cannot be read is 400 with the first
//     fault; input with unacceptable values, as the handler decides, is 422 with all of them.
//   - Every answer that is not a success is RFC 9457 application/problem+json, also the router's own (404, 405, redirects) and
//     that of a panic. The text of an error of unknown kind reaches the log, once, and never the caller.
//   - A request costs bounded memory (64 KiB of body) and bounded time; a slow client holds only its own connection.
//   - Every answer has an X-Request-Id and is logged in one line without body, query string or path values.
//   - The same Idempotency-Key with the same body gives a command the same [Command.Seed]. Prefer: wait=N makes a query of one
//     resource wait until it can be read.
//
// It does no authentication, CORS, throttling or TLS. On AWS API Gateway does, on servers package gateway, by [Options].
// Requests that net/http refuses before any handler (no Host, broken or too large headers) are answered by it
// in plain text.
package web
