// Command sipeat runs SipEat's event bus: see `sipeat help`.
package main

import (
	"os"

	"github.com/sipeat/sipeat/shared/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
