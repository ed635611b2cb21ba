package cli

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestVersionOfABuildWithoutRelease(t *testing.T) {
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}
	changed := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for want, c := range map[string]struct {
		version, main string
		settings      []debug.BuildSetting
	}{
		"v1.2.3":                   {"v1.2.3", "(devel)", []debug.BuildSetting{commit, changed}},
		"devel-0123456789ab":       {"", "(devel)", []debug.BuildSetting{commit}},
		"devel-0123456789ab-dirty": {"", "(devel)", []debug.BuildSetting{commit, changed}},
		"v0.0.0-2026-0123":         {"", "v0.0.0-2026-0123", []debug.BuildSetting{commit}},
		"devel":                    {"", "(devel)", nil},
	} {
		got := describeBuild(c.version, &debug.BuildInfo{Main: debug.Module{Version: c.main}, Settings: c.settings})
		assert.Equal(t, want, got.Version)
	}
}
