// Package containers tests docker-compose.yml, the targets of the Makefile for it, and template.yaml under the SAM CLI.
package containers

import (
	"testing"

	"github.com/sipeat/sipeat/shared/cli/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }
