package store_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sipeat/sipeat/shared/store"
)

func TestFold(t *testing.T) {
	for given, want := range map[string]string{
		"": "", " \t\u00a0": "", " Berlin\n": "berlin", "SÃO  Paulo": "são  paulo", "ΑΘΉΝΑ": "αθήνα", "a\x00B": "a\x00b",
		"a\xffB":                             "a\uFFFDb",
		strings.Repeat("a", 300):             strings.Repeat("a", store.FoldedBytes),
		strings.Repeat("a", 255) + "üx":      strings.Repeat("a", 255),
		strings.Repeat("a", 255) + " b":      strings.Repeat("a", 255),
		strings.Repeat(" ", 300) + "Köln   ": "köln",
	} {
		got := store.Fold(given)
		assert.Equal(t, want, got)
		assert.Equal(t, got, store.Fold(got), "folding is idempotent")
	}
}
