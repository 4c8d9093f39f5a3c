package main

import (
	"time"

	"github.com/rustyonions/micronode/impl/client"
)

const defaultNode = client.DefaultURL

const description = `A verification-first node: content-addressed objects in RAM, over OAP/1 and HTTP.

    micronode run                      start a node on this machine
    micronode put README.md            store a file; prints its address
    micronode get b3:… -o copy.md      read it back, verified
    micronode token mint --role reader > reader.token
    micronode put -r src > src.manifest
    micronode get -r src.manifest -o copy`

// cli is the whole command line.
type cli struct {
	Run        runCmd        `cmd:"" help:"Start a node and serve until SIGTERM or SIGINT."`
	Put        putCmd        `cmd:"" help:"Store files, a directory tree, or stdin."`
	Get        getCmd        `cmd:"" help:"Read an object, or restore a tree from its manifest."`
	Stat       statCmd       `cmd:"" help:"Print the size of objects."`
	Rm         rmCmd         `cmd:"" help:"Delete objects."`
	Frame      frameCmd      `cmd:"" help:"Take OAP/1 frames apart, or put them together."`
	Token      tokenCmd      `cmd:"" help:"Mint, attenuate, inspect, verify and revoke capabilities."`
	Audit      auditCmd      `cmd:"" help:"Export and verify the audit log."`
	Config     configCmd     `cmd:"" help:"Check or print a configuration without starting a node."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
}

// nodeFlags are shared by the commands that talk to a node.
type nodeFlags struct {
	Node    string        `help:"Node URL: oap://, oap+tls://, http://, https:// with host:port, or unix:/path. The scheme chooses the surface (${default})." env:"MICRO_NODE" default:"${node}" placeholder:"URL"`
	Token   secretFlag    `help:"Capability to send with every request: the token, or @FILE to read it from. On the command line other users of this machine can see it." env:"MICRO_TOKEN" placeholder:"TOKEN"`
	Pin     string        `help:"Fingerprint of the one certificate to accept, for oap+tls:// and https://: sha256:… as the node prints it." env:"MICRO_PIN" placeholder:"FINGERPRINT"`
	CA      string        `name:"ca" help:"PEM file with the certificates to trust instead of the system's, for oap+tls:// and https://." placeholder:"FILE"`
	Cert    string        `name:"client-cert" help:"PEM file with a certificate to show, where the node asks for one." placeholder:"FILE"`
	Key     string        `name:"client-key" help:"PEM file with its key." placeholder:"FILE"`
	Timeout time.Duration `help:"Give up after this time, for example 30s. 0, the default, waits as long as the node makes progress." default:"0s" placeholder:"TIME"`
	JSON    bool          `name:"json" help:"Print one JSON object a line, errors too."`
}

// clientFlags are shared by those of them that make many requests.
type clientFlags struct {
	nodeFlags
	Parallel int `short:"j" help:"Requests at the same time, 1 to 256 (${default})." default:"16" placeholder:"N"`
}

func (*runCmd) Help() string {
	return `Flags win over MICRO_* environment variables (MICRO_HTTP, MICRO_STORE_BYTES, …), those over the file of --config, and that over the defaults. Unknown, misspelt or duplicate settings keep the node from starting. Without TLS only loopback addresses and the Unix socket are served; --https and --oap-tls take any address, with a certificate that is made at start unless files are given.

Every request needs a token. Unless it can be reached from elsewhere, a node prints one that may do everything, for an hour; micronode token mint makes others.

Logs are JSON lines on stderr. With --json stdout gets exactly one line, once all listeners are bound; what is not served is left out:

    {"event":"listening","http":"http://127.0.0.1:8080","oap":"oap://127.0.0.1:9090",…,"token":"Ag…"}

SIGTERM or SIGINT drains: new requests are refused, those in flight get up to 5 seconds, and the exit code is 0. A second one ends the process at once.

Examples:

    micronode run
    micronode run --http 127.0.0.1:0 --oap 127.0.0.1:0 --json
    micronode run --store-bytes 2GiB --rate 100000
    micronode run --https 0.0.0.0:8443 --oap-tls 0.0.0.0:9443 --bootstrap on
    micronode run --config node.toml --log-level debug`
}

func (*putCmd) Help() string {
	return `Prints "ADDRESS  PATH" for each file, in the order given. A file is streamed, never held in memory; "-" reads stdin, which is held in memory (up to 64 MiB, over HTTP 1 MiB) when its length is unknown. HTTP uploads are limited to 1 MiB, objects to 64 MiB.

With -r the one argument is a directory, and what is printed is a manifest: JSON lines with every directory, file and symbolic link, enough for "get -r" to restore the tree. It holds names, permission bits, sizes, addresses and link targets; no owners, times or hard links. Other kinds of files are reported and left out.

When the node says that it is busy, all requests wait for as long as it asks, and then go on at the pace that it can take.

Examples:

    micronode put README.md LICENSE
    tar c src | micronode put -
    micronode put -r src --manifest src.manifest
    micronode put --node http://127.0.0.1:8080 --json notes.txt`
}

func (*getCmd) Help() string {
	return `The digest of what arrives is checked against the address. With -o a file appears under its name only when it is complete and verified; on stdout the exit code tells.

With -r the argument is a manifest of "put -r" ("-" for stdin), and -o names the directory to restore into; it is made if needed. Files that are there already are replaced, others are left alone. Paths that lead out of the directory, or through a symbolic link, are refused.

Examples:

    micronode get b3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85
    micronode get b3:6437… -o abc.txt
    micronode get -r src.manifest -o copy`
}

func (*statCmd) Help() string {
	return `Prints "ADDRESS  BYTES" for each object.

Examples:

    micronode stat b3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85
    micronode stat --json b3:6437…`
}

func (*rmCmd) Help() string {
	return `Prints nothing when all went well, one line for each object with --json.

Examples:

    micronode rm b3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85
    micronode put *.log | cut -d' ' -f1 | xargs micronode rm`
}

func (*frameDecodeCmd) Help() string {
	return `Reads frames as hex (white space ignored) or binary from stdin and prints one JSON object a line:

    verdict      frame, reject or more
    reason,rule  with reject: why, and the rule that was broken
    header       len, ver, flags (names), code, app_proto_id, tenant_id, cap_len, corr_id
    cap,payload  hex, as on the wire
    decoded_len  with COMP: bytes of the payload when expanded
    have,need    with more: bytes that are there, and bytes without which nothing more can be said

Decoding ends at the first reject, because nobody knows where the next frame would begin. Input that is hex digits and white space only is read as hex unless --binary is given.

Exit codes: 0 all frames, 4 reject, 5 the input ends inside a frame or is empty.

Examples:

    echo '00000026 0001 0001 0000 0000 00000000000000000000000000000000 0000 0000000000000001' | micronode frame decode
    micronode frame decode --binary < capture.bin`
}

func (*frameEncodeCmd) Help() string {
	return `The inverse of decode: reads its JSON lines from stdin and writes the frames, as hex lines to a terminal or with --hex, else binary. len, ver, cap_len and decoded_len may be left out; where they are given they must be right. A frame that breaks a rule is refused with reason and rule, and the exit code is 4.

Examples:

    echo '{"header":{"flags":["REQ"],"corr_id":1}}' | micronode frame encode --hex
    micronode frame decode < in.hex | micronode frame encode > out.bin`
}

func (*configCmd) Help() string {
	return `Both read a configuration the way "run" does: file, environment, defaults.

Examples:

    micronode config check --config node.toml
    micronode config print --config node.toml`
}

func (*completionCmd) Help() string {
	return `Examples:

    source <(micronode completion bash)
    source <(micronode completion zsh)
    micronode completion fish > ~/.config/fish/completions/micronode.fish`
}
