package settings

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnnouncedByProducer(t *testing.T) {
	for value, producers := range map[string][]string{"": {"sipeat-app"}, "shop, kiosk": {"shop", "kiosk"}, "none": nil,
		"none,shop": {"none", "shop"}} {
		s, err := Read(env("ANNOUNCED_BY_PRODUCER=" + value))
		require.NoError(t, err)
		assert.Equal(t, producers, s.AnnouncedByProducer, "%q", value)
	}
}
