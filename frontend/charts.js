// Line charts over time. Its style sheet is copied beside the bundle.
export { default as uPlot } from "uplot";
