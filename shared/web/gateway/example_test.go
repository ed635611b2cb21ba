package gateway_test

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
)

func Example() {
	token := "6d2f0f0b9c7e4f5a8b1c3d2e5f607182"
	s := settings.Web{MaxConnections: 64, Staff: settings.Limit{Rate: 10, Burst: 2}}
	s.Auth = settings.Auth{Mode: "token", Tokens: [][sha256.Size]byte{sha256.Sum256([]byte(token))}}
	logger := slog.New(slog.DiscardHandler)
	functions := []web.Function{{Name: "list-contacts", Route: "GET /contacts", Staff: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello, ", web.Caller(r.Context())) })}}

	g := gateway.New(s, logger, time.Now)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := web.Server(web.Router(functions, append(g.Options(), web.Log(logger))...), logger)
	go func() { _ = server.Serve(gateway.Limit(listener, s)) }()
	defer server.Close()

	for _, authorization := range []string{"", "Bearer garbage", "Bearer " + token} {
		r, _ := http.NewRequest(http.MethodGet, "http://"+listener.Addr().String()+"/contacts", http.NoBody)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			panic(err)
		}
		res.Body.Close()
		fmt.Println(res.StatusCode, res.Header.Get("WWW-Authenticate"))
	}
	// Output:
	// 401 Bearer realm="sipeat"
	// 401 Bearer realm="sipeat", error="invalid_token", error_description="the token is not known"
	// 200
}
