"""The look of the page: one measure of space, one family of type, colour for verdicts only."""

STYLE = """
:root{color-scheme:light dark;--ink:#1a212c;--quiet:#5b6675;--hair:#dce1e8;--wash:#f0f3f7;--paper:#fff;
--accent:#2f5fa8;--other:#c07a12;--met:#1b7a4b;--not-met:#b42318;--inconclusive:#8a5a00;--unknown:#66558c;
--waived:#8a5a00}
@media (prefers-color-scheme:dark){:root{--ink:#e8ebf0;--quiet:#9aa5b4;--hair:#323a46;--wash:#222933;--paper:#161b22;
--accent:#7aa7ea;--other:#e0a54a;--met:#58c48d;--not-met:#ff8a7d;--inconclusive:#e5b04f;--unknown:#b6a4e0;
--waived:#e5b04f}}
*{box-sizing:border-box}
html{background:var(--paper);color:var(--ink);-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:1120px;padding:40px 32px 64px;
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;overflow-wrap:anywhere}
svg{max-width:100%;height:auto;display:block;font-family:inherit}
p{margin:0}
h1{font-size:34px;line-height:1.15;letter-spacing:-.02em;font-weight:680;margin:28px 0 0}
h2{font-size:21px;letter-spacing:-.01em;font-weight:650;margin:0 0 6px}
h3{font-size:14px;font-weight:650;margin:0 0 12px}
.brand{display:flex;justify-content:space-between;gap:24px;color:var(--quiet);font-size:13px;
padding-bottom:14px;border-bottom:1px solid var(--hair)}
.brand span:first-child{color:var(--ink);font-weight:700;letter-spacing:.02em}
.lead{font-size:19px;line-height:1.5;color:var(--ink);max-width:780px;margin-top:14px}
.verdict{margin-top:16px}.verdict .pill{font-size:16px;padding:4px 14px 4px 10px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;margin:28px 0 0;
background:var(--hair);border:1px solid var(--hair);border-radius:10px;overflow:hidden}
.facts div{background:var(--paper);padding:14px 18px;display:flex;flex-direction:column-reverse;
justify-content:flex-end}
.facts dt{color:var(--quiet);font-size:13px;line-height:1.35}
.facts dd{margin:0 0 2px;font-size:22px;font-weight:650;letter-spacing:-.01em;font-variant-numeric:tabular-nums;
line-height:1.3}
nav{display:flex;flex-wrap:wrap;gap:6px 24px;margin:26px 0 0;font-size:13.5px}
nav a{color:var(--accent);text-decoration:none}nav a:hover,nav a:focus-visible{text-decoration:underline}
section{margin-top:56px;scroll-margin-top:24px}
.note{color:var(--quiet);max-width:760px;margin-bottom:18px}
table{border-collapse:collapse;width:100%;font-size:14px;line-height:1.5}
th{font-weight:600;text-align:left}
thead th{color:var(--quiet);font-size:12.5px;padding:0 14px 8px 0;border-bottom:1px solid var(--ink);
vertical-align:bottom}
td,tbody th{padding:14px 18px 14px 0;border-bottom:1px solid var(--hair);vertical-align:top}
td:last-child,th:last-child{padding-right:0}
td p{color:var(--quiet);margin-top:3px}
.count{color:var(--quiet);font-variant-numeric:tabular-nums;white-space:nowrap;width:1%}
.where{white-space:nowrap;width:1%;font-variant-numeric:tabular-nums}
.where p:first-child{margin-top:0;color:var(--ink)}
.faults td:nth-child(2){width:36%}.planted{font-size:13px;font-style:italic}
code{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
.next code{display:inline-block;background:var(--wash);border-radius:5px;padding:3px 8px;margin-top:5px;
color:var(--ink);white-space:pre-wrap}
.bound{white-space:nowrap;font-weight:600;font-size:13px}
.numbers{white-space:nowrap;font-variant-numeric:tabular-nums;color:var(--quiet);font-size:13px;line-height:1.45}
.numbers strong{color:var(--ink);font-size:15px}
.criteria td:nth-child(3){width:250px;padding-top:12px}.criteria td:nth-child(3) svg{min-width:190px}
.criteria td:nth-child(5){width:27%}.reason{font-size:13px}
.life th{width:1%;white-space:nowrap;padding-right:24px}.life td:first-child{width:1%}
.life td,.life tbody th{padding-top:10px;padding-bottom:10px}
.life .entries{margin:0}
.entries span{color:var(--quiet);font-size:12.5px;font-variant-numeric:tabular-nums;white-space:nowrap}
.entries span+span:before{content:"\\00b7";margin:0 5px 0 1px}
.pill{display:inline-flex;align-items:center;gap:6px;font-size:12.5px;font-weight:650;line-height:1.5;
white-space:nowrap;
border:1px solid currentColor;border-radius:99px;padding:1px 10px 1px 7px;color:var(--quiet)}
.pill i{font-style:normal;font-size:.95em;line-height:1}
.met{color:var(--met)}.not-met{color:var(--not-met)}.inconclusive{color:var(--inconclusive)}
.unknown{color:var(--unknown)}.waived{color:var(--waived)}
.strip{overflow-x:auto;margin:18px 0 10px;padding-bottom:6px}.strip svg{min-width:860px;width:100%}
.figures{columns:2 400px;column-gap:24px;margin-top:18px}
figure{margin:0 0 24px;padding:20px 22px;border:1px solid var(--hair);border-radius:10px;break-inside:avoid}
figure.wide{column-span:all}figure svg{margin:0 auto}
figcaption{color:var(--quiet);font-size:13.5px;line-height:1.5;margin-top:14px}
.glossary{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr));gap:20px 40px;
margin:18px 0 0}
.glossary dt{font-weight:650;font-size:14px;min-height:24px}.glossary dd{margin:4px 0 0;color:var(--quiet);
font-size:14px}
footer{margin-top:64px;padding-top:16px;border-top:1px solid var(--hair);color:var(--quiet);font-size:13px}
@media (max-width:760px){body{padding:24px 18px 40px}h1{font-size:27px}.lead{font-size:17px}
table,tbody,tr,td,tbody th{display:block;width:auto!important}thead{display:none}
td,tbody th{border:0;padding:3px 0}tr{border-bottom:1px solid var(--hair);padding:14px 0;display:block}}
@media print{:root{--ink:#000;--quiet:#444;--hair:#bbb;--wash:#eee;--paper:#fff;--accent:#1f4f98;--other:#a86400;
--met:#14633c;--not-met:#9c1c12;--inconclusive:#6e4800;--unknown:#523f7c;--waived:#6e4800}
body{max-width:none;padding:0;font-size:11px}h1{font-size:24px}.lead{font-size:14px}nav{display:none}
section{margin-top:28px}
tr,figure,.glossary div{break-inside:avoid}h2{break-after:avoid}thead{display:table-header-group}
.facts dd{font-size:15px}table,code{font-size:10px}.strip svg{min-width:0}@page{margin:16mm}}
"""
