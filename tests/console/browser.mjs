// Unpacks the browser that the package carries, with the libraries and fonts that it needs, into $TMPDIR.
import chromium from "@sparticuz/chromium";

console.log(JSON.stringify(await chromium.executablePath()));
