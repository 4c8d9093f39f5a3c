package main

func (*mintCmd) Help() string {
	return `Prints the token on stdout and what it is on stderr. The token that asks, in MICRO_TOKEN or --token, has to allow the operation issue. A role is a set of operations; no role contains another:

    reader   get, has, stat, resolve, search
    writer   put, delete, move
    mailbox  send, recv, ack, nack
    issuer   issue, verify, revoke, rotate
    admin    config, audit, reprocess

Examples:

    micronode token mint --role reader
    micronode token mint --op get,put --ttl 2h --caveat 'max-bytes <= 1048576'
    MICRO_TOKEN=$(micronode token mint --role reader) micronode get b3:…
    micronode token mint --role writer > writer.token; micronode put --token @writer.token notes.txt`
}

func (*attenuateCmd) Help() string {
	return `Works offline: any holder can make a token that may do less, and nobody can take a caveat off again. The token comes from TOKEN, --token, MICRO_TOKEN or stdin, and the new one goes to stdout. Caveats:

    exp <= SECONDS        nbf >= SECONDS       since 1970
    op in get,has         path ^= /o/          aud = NODE-NAME
    max-bytes <= N        rps <= N             tenant = 32-HEX-DIGITS
    peer-uid = N          amnesia = on

With --third-party the token is good only with a discharge: the third party makes it with token discharge, and token bind joins both.

Exit codes: 0 done, 2 the token or a caveat is none.

Examples:

    micronode token attenuate --op get --ttl 5m
    micronode token attenuate --caveat 'path ^= /put' @writer.token > narrow.token
    micronode token mint --role reader | micronode token attenuate --caveat 'rps <= 5' -
    micronode token attenuate --third-party https://id.test --third-party-key k.hex --third-party-id 'user 7'`
}

func (*inspectCmd) Help() string {
	return `Works offline and shows what is written in a token: ids, caveats, when it expires. It does not show the token itself, and it verifies nothing: whether a token is genuine only its node can tell (token verify).

Exit codes: 0 shown, 2 it is no token.

Examples:

    micronode token inspect
    micronode token inspect --json @writer.token`
}

func (*verifyCmd) Help() string {
	return `Asks the node whether it would admit a request with TOKEN now. The token that asks, in MICRO_TOKEN or --token, has to allow the operation verify. The path of an object is /o/ADDRESS, that of a put without address /put.

Exit codes: 0 it would, 1 it would not or could not be asked.

Examples:

    micronode token verify @writer.token --op put --path /put --bytes 1000
    micronode token verify --json "$T" --op get --path /o/b3:6437…`
}

func (*revokeCmd) Help() string {
	return `A capability id revokes one token and everything that was attenuated from it, a key id all tokens of a root key. A token that is given is not sent: its id is read out of it. Whatever runs under what was revoked is ended within a second.

Examples:

    micronode token revoke 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    micronode token revoke @leaked.token
    micronode token revoke 0f1e2d3c4b5a6978`
}

func (*rotateCmd) Help() string {
	return `Prints the id of the new root key. Tokens of the one before stay good until they expire; token revoke with its id ends them.

Examples:

    micronode token rotate`
}

func (*dischargeCmd) Help() string {
	return `What a third party does to confirm a caveat, with the key and the id that it was made with. Caveats of a discharge have to hold as if they stood in the token.

Examples:

    micronode token discharge --key k.hex --id 'user 7' --ttl 1m`
}

func (*bindCmd) Help() string {
	return `Joins a token and the discharges of all its third-party caveats. What comes out is sent like any other token, and can not be attenuated any further.

Examples:

    micronode token bind --token @narrow.token "$DISCHARGE"`
}

func (*auditExportCmd) Help() string {
	return `The token has to allow the operation audit, and the node serves its audit log over HTTP on loopback only. A file appears under its name only when it is complete; audit verify checks it.

Examples:

    micronode audit export --node http://127.0.0.1:8080 -o monday.audit
    micronode audit export --node http://127.0.0.1:8080 -o monday.audit --acknowledge --identity 0f1e2d…`
}

func (*auditVerifyCmd) Help() string {
	return `Works without a node. Every record has to be one that both keys of the node signed for, at its place; what was changed, left out, repeated, moved or cut off is found, and the first record that does not fit is named. With --checkpoint the export also has to agree with what the node said at another time or to somebody else.

Exit codes: 0 all of it fits, 7 it was tampered with, 1 it can not be read, or an earlier checkpoint can not be connected.

Examples:

    micronode audit verify monday.audit --identity 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    micronode audit verify --json tuesday.audit --checkpoint monday.checkpoint`
}

func (*auditCheckpointCmd) Help() string {
	return `Prints the checkpoint after checking both signatures. Keep it: a later export or proof has to agree with it.

Exit codes: 0 printed, 7 it is not signed by the keys of the node.

Examples:

    micronode audit checkpoint --node http://127.0.0.1:8080 --identity 0f1e2d… -o monday.checkpoint`
}

func (*auditProveCmd) Help() string {
	return `With INDEX: that the record with this index is in the log. With --since: that the log of an earlier checkpoint is the beginning of the log now. The proof is checked here, against the signed checkpoint of the node.

Exit codes: 0 proved, 7 the proof does not fit: the node shows different histories; 1 there is no proof.

Examples:

    micronode audit prove --node http://127.0.0.1:8080 12
    micronode audit prove --node http://127.0.0.1:8080 --since monday.checkpoint --identity 0f1e2d…`
}

func (*versionCmd) Help() string {
	return `With --verify the node of --node is asked, over HTTP, and the statement that it signed about itself is checked: version, limits, features, amnesia and post-quantum mode.

Exit codes: 0 verified, 7 it does not verify, or is the statement of another identity.

Examples:

    micronode version
    micronode version --verify --node http://127.0.0.1:8080 --identity 0f1e2d3c4b5a69788796a5b4c3d2e1f0`
}
