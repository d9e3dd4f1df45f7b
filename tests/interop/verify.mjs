// Verify one sigstore bundle with one public key, by the sigstore project's own library.
// usage: node verify.mjs BUNDLE KEY.pem     exit 0: accepted, 1: refused
import { readFileSync } from "node:fs";
import { createPublicKey } from "node:crypto";
import { bundleFromJSON } from "@sigstore/bundle";
import { Verifier, toSignedEntity, toTrustMaterial } from "@sigstore/verify";

const [bundle, key] = process.argv.slice(2);
const nobody = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const trust = toTrustMaterial(nobody, () => ({
  publicKey: createPublicKey(readFileSync(key)),
  validFor: () => true,
}));
try {
  const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
  verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(readFileSync(bundle, "utf8")))));
  console.log("accepted");
} catch (error) {
  console.log(`refused: ${error.code ?? error.name}: ${error.message}`);
  process.exitCode = 1;
}
