package web

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestProxyInfo(t *testing.T) {
	ctx := WithProxyInfo(context.Background(), ProxyInfo{Prefix: "/prod%20x", RequestID: "JKJaXmPLvHcESHA="})
	h := post(accept(nil))

	w := callWith(ctx, h, "POST", "/requests", "{}", asJSON)
	assert.Equal(t, 202, w.Code)
	assert.Equal(t, "/prod%20x/requests/id%2F1", w.Header().Get("Location"))
	assert.Equal(t, "JKJaXmPLvHcESHA=", w.Header().Get("X-Request-Id"))

	w = callWith(ctx, h, "GET", "/nothing%2F", "", "X-Request-Id: mine")
	assert.Equal(t, "/prod%20x/nothing%2F", problemOf(t, w).Instance)
	assert.Equal(t, "mine", w.Header().Get("X-Request-Id"))

	w = callWith(ctx, h, "POST", "/./requests?a=b", "{}", asJSON, "X-Request-Id: not mine")
	assert.Equal(t, 307, w.Code)
	assert.Equal(t, "/prod%20x/requests?a=b", w.Header().Get("Location"))
	assert.Equal(t, "JKJaXmPLvHcESHA=", w.Header().Get("X-Request-Id"))

	w = callWith(WithProxyInfo(ctx, ProxyInfo{RequestID: "a\nb"}), h, "GET", "/nothing", "")
	assert.Len(t, w.Header().Get("X-Request-Id"), 26, "one that no log line can hold is replaced")
	assert.Equal(t, "/nothing", problemOf(t, w).Instance)
}
